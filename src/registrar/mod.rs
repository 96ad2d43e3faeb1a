//! Registers running containers as keys with a lease.
//!
//! Owns: the client of a container engine ([`engine`]), turning a container into keys ([`describe`]), health checks
//! ([`check`]), the state of every container ([`model`]), and the keys in the store ([`reconcile`]). Beside the keys of
//! services, the record of the node itself ([`node`]), from which `placement` chooses.
//!
//! The shape: an event says that a container may have changed, an inspection says what it is now, the model decides
//! which keys are wanted, and the reconciler writes the difference. Events are hints, lists are the truth: a lost,
//! late, duplicate or reordered event costs time, never correctness.
//!
//! Promises: no key before the first passed check; a key is removed when its container gets its stop signal, exits or
//! fails its check; an unreachable engine or store removes no key; another owner's key is neither replaced nor deleted;
//! changes during a store outage are written afterwards. All waiting is on the monotonic clock.
//!
//! Leaves out: the command line (`settings`), serving the status (`app`), and expressions over nodes (`placement`).

mod check;
mod check_runner;
mod container;
mod describe;
mod engine;
mod error;
mod facts;
mod follow;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod model;
mod node;
mod own_container;
mod reconcile;
mod service;
mod settings;
mod start;
mod status_board;
mod stop_container;
mod worker;

#[cfg(test)]
mod tests;

pub use engine::check_engine_url;
pub use error::RegistrarError;
pub use node::NODES;
pub use settings::{
    CheckAddress, Checks, Deregister, EngineEndpoint, Health, Layout, Lease, OnExit, OwnContainer, Rules,
    Settings, Suffix, Value,
};
pub use status_board::{ContainerStatus, KeyStatus, ServiceStatus, Status, StatusBoard};
pub use stop_container::{reach, stop_container};
pub use worker::{RunEnd, run};
