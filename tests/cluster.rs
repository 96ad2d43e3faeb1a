//! Several members: what they promise together, what lies between them, and every way in which they can be hurt.

mod chaos;
mod clients;
mod control;
mod discovery;
mod disks;
mod etcd_line;
mod group;
mod handshakes;
mod history;
mod hosts;
mod leases;
mod lifecycle;
mod line;
mod membership;
mod partitions;
mod pauses;
mod proxy;
mod refusals;
mod restarts;
mod snapshots;
mod storm;
mod story;
mod tls;
mod trust;
mod watchers;
mod words;
