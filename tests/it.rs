//! Whole-program tests: the built binary against real etcd, nginx and HAProxy.
//!
//! One test binary, so that everything links once. Each module is named for what it proves; `support` is shared. A
//! test whose program is missing reports that and passes, but fails when `CI` is set.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and it waits in plain threads: there is no runtime here to block"
)]

mod ansible;
mod bad_input;
mod boot;
mod cluster;
mod confd_command_line;
mod ctl;
mod diff_check;
mod docker;
mod docs;
mod durable;
mod etcd_members;
mod examples;
mod extensions;
mod guarantees;
mod harness;
mod log_reader;
mod pitfalls;
mod place;
mod register;
mod register_command_line;
mod sample;
mod seed_haproxy;
mod seed_nginx;
mod sources;
mod store;
mod supervisord;
mod support;
mod zones;
