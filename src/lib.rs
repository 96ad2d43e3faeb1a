//! retune keeps configuration files in step with a key/value store.
//!
//! The rooms, lowest first. A room imports only rooms of a lower rank; `tests/architecture.rs` fails when an
//! import climbs. Rank order is the order of starting; reversed, of stopping.
//!
//! | rank | room | owns |
//! |---|---|---|
//! | 0 | [`key`] | what a key and a prefix are |
//! | 0 | [`backoff`] | how long to wait before trying again |
//! | 0 | [`disk`] | names of disk errors, and what to do about them |
//! | 0 | [`log_queue`] | the queue of log lines to standard error: bounded, and no caller waits for it |
//! | 0 | [`log_throttle`] | limits log lines: the same fault once a minute, and a bound on faults that anybody can cause |
//! | 0 | [`stop`] | signals as one stop token; named loops, of which the first to end early is a failure |
//! | 0 | [`command`] | running a shell command with a time limit, in its own process group |
//! | 0 | [`tcp`] | how ports listen, and how soon a dead peer is noticed |
//! | 0 | [`tls`] | certificates, keys and authorities from files, for every port that speaks TLS |
//! | 0 | [`placement`] | expressions, filters and strategies over facts of nodes; pure |
//! | 0 | [`document`] | JSON, YAML and TOML as one tree in which every scalar keeps its own spelling |
//! | 0 | [`scalar`] | time spans, booleans and bytes as text |
//! | 0 | [`diff`] | the changed lines of two texts, as a unified diff |
//! | 0 | [`nearest`] | the known name that a mistyped one probably means |
//! | 0 | [`fault`] | bugs that tests plant, to show that a simulation finds them |
//! | 0 | [`readiness`] | whether a long-running part of the program is ready |
//! | 1 | [`values`] | the content of a source: every key with its value, in memory, ordered by key |
//! | 1 | [`replace`] | replacing a file atomically, with mode and owner |
//! | 1 | [`keyspace`] | the store's state machine: tree, history, watchers; no network, no clock |
//! | 1 | [`http`] | servers and clients of HTTP over own sockets: endpoints, time limits, causes of errors; no routes |
//! | 1 | [`protocol`] | the data types of the HTTP API, and its error codes |
//! | 2 | [`template`] | rendering templates, with every read recorded |
//! | 2 | [`consensus`] | agreeing on the order of commands: replica, log, mirror, snapshots |
//! | 2 | [`client`] | the HTTP client of a store: endpoints, TLS, failover, watches |
//! | 3 | [`api`] | the HTTP API: commands to consensus, reads from the keyspace; the proxy |
//! | 3 | [`source`] | where values come from: one snapshot, then changes |
//! | 4 | [`reloader`] | resource files, the pass, stage, check, place, reload, verify |
//! | 4 | [`registrar`] | running containers to keys with a lease; the node's record |
//! | 4 | [`ctl`] | the etcdctl command set over `client` |
//! | 5 | [`settings`] | flags, environment and file to the settings structs of the rooms |
//! | 6 | [`fuzz`] | entry points for fuzzing; in tests and builds for a fuzzer only |
//! | 6 | [`app`] | build everything, run everything, stop everything |
//!
//! All long-running parts share one shape: a worker waits for hints, one pure function decides, another small one
//! acts.

#[macro_use]
mod fault;

pub mod api;
pub mod app;
pub mod backoff;
pub mod client;
pub mod command;
pub mod consensus;
pub mod ctl;
pub mod diff;
pub mod disk;
pub mod document;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod http;
pub mod key;
pub mod keyspace;
pub mod log_queue;
pub mod log_throttle;
pub mod nearest;
pub mod placement;
pub mod protocol;
pub mod readiness;
pub mod registrar;
pub mod reloader;
pub mod replace;
pub mod scalar;
pub mod settings;
pub mod source;
pub mod stop;
pub mod tcp;
pub mod template;
pub mod tls;
pub mod values;
