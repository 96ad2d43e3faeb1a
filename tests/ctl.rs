//! `retune ctl` and the name `etcdctl`: output identical to Debian's etcdctl, and our own additions.

mod backup;
mod cases;
mod cases_auth;
mod cases_keys;
mod cases_options;
mod compare;
mod completion;
mod deep_keys;
mod documents;
mod editing;
mod import_from;
mod normalize;
mod pair;
mod prompts;
mod snapshot;
mod tls_and_logins;
mod watching;
