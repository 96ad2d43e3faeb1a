//! Running containers to keys with a lease.
//!
//! Owns: the door to a container engine ([`engine`]), what of a container becomes which key ([`describe`]), whether what lies
//! behind it is well ([`check`]), the state of every container ([`model`]), and what of it stands in the store ([`keep`]).
//! Beside the keys of services, the record of the node itself ([`node`]), from which `placement` chooses.
//!
//! The shape: hints say that a container may have changed, an inspection says how it is, the model decides which keys
//! there should be, and the reconciler writes the difference. Events of an engine are hints and lists are truth: a lost, late,
//! doubled or reordered event costs time and never rightness.
//!
//! Promises: no key before its first passed check; a key goes when its container is told to stop, dies or fails its check;
//! nothing goes because an API failed, neither the engine's nor the store's; a key that somebody else wrote is neither
//! replaced nor deleted; whatever was lost while the store was away is written when it is back. All waiting is on the
//! monotonic clock.
//!
//! Leaves out: the command line (`settings`), who asks for the status (`app`), and expressions over nodes (`placement`).

mod check;
mod container;
mod describe;
mod engine;
mod error;
mod facts;
mod follow;
mod keep;
mod model;
mod node;
mod own;
mod probing;
mod service;
mod settings;
mod start;
mod status_board;
mod stopping;
mod worker;

#[cfg(test)]
mod tests;

pub use error::RegistrarError;
pub use node::NODES;
pub use settings::{
    CheckAddress, Checks, Deregister, EngineAt, Health, Layout, Lease, OnExit, OwnContainer, Rules, Settings,
    Suffix, Value,
};
pub use status_board::{ContainerStatus, KeyStatus, ServiceStatus, Status, StatusBoard};
pub use stopping::{reach, stop_container};
pub use worker::{Ending, run};
