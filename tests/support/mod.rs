//! What the whole-program tests share: a folder, the program, the servers around it, and load with a log.
//!
//! Everything started here ends with its handle, every port is claimed for one test alone, and every wait has a limit
//! that `RETUNE_TEST_PATIENCE` stretches on a slow machine.

pub mod authority;
pub mod backend;
pub mod dir;
pub mod docker;
pub mod etcd;
pub mod etcd_cluster;
pub mod fake_engine;
pub mod fake_time;
pub mod front;
pub mod haproxy;
pub mod http;
pub mod key_states;
pub mod load;
pub mod mount;
pub mod nginx;
pub mod port;
pub mod proc;
pub mod programs;
pub mod python;
pub mod relay;
pub mod retune;
pub mod rng;
pub(crate) mod skips;
pub mod store;
pub mod systemd;
pub mod trace;
pub mod trace_disk;
pub mod trace_reader;
pub mod wait;
pub mod zone;

pub use authority::Authority;
pub use backend::Backend;
pub use dir::Dir;
pub use etcd::Etcd;
pub use etcd_cluster::EtcdCluster;
pub use load::{Load, RequestKind, ResponseClass};
pub use mount::Mount;
pub use relay::TcpRelay;
pub use retune::{Daemon, Retune};
pub use store::Store;
pub use wait::{WAIT_TIMEOUT, eventually, scaled, stays};
pub use zone::{DnsRecord, Zone};
