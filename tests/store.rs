//! `retune store` against real etcd and against clients made for etcd.

mod answers;
mod auth;
mod backup;
mod differential;
mod json;
mod pair;
mod plans;
mod python_etcd;
pub mod requests;
pub mod wire;
