//! What the whole-program tests share: a folder, the program, the servers around it, and load with a log.
//!
//! Everything started here ends with its handle, every port is claimed for one test alone, and every wait has a limit
//! that `RETUNE_TEST_PATIENCE` stretches on a slow machine.

pub mod authority;
pub mod backend;
pub mod cable;
pub mod dice;
pub mod dir;
pub mod docker;
pub mod etcd;
pub mod etcd_cluster;
pub mod fake_engine;
pub mod fake_time;
pub mod front;
pub mod haproxy;
pub mod http;
pub mod load;
pub mod mount;
pub mod nginx;
pub mod port;
pub mod proc;
pub mod programs;
pub mod python;
pub mod retune;
pub(crate) mod skips;
pub mod states;
pub mod store;
pub mod systemd;
pub mod trace;
pub mod trace_disk;
pub mod trace_reader;
pub mod wait;
pub mod zone;

pub use authority::Authority;
pub use backend::Backend;
pub use cable::Cable;
pub use dir::Dir;
pub use etcd::Etcd;
pub use etcd_cluster::EtcdCluster;
pub use load::{Class, Kind, Load};
pub use mount::Mount;
pub use retune::{Daemon, Retune};
pub use store::Store;
pub use wait::{WAIT_TIMEOUT, eventually, patient, stays};
pub use zone::{Record, Zone};
