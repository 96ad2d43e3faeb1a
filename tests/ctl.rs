//! `retune ctl` and the name `etcdctl`: output identical to Debian's etcdctl, and our own additions.

mod backup;
mod compare;
mod completion;
mod documents;
mod editing;
mod import_from;
mod lines;
mod normal;
mod pair;
mod prompts;
mod secured;
mod snapshot;
mod stories_auth;
mod stories_keys;
mod stories_words;
mod watching;
