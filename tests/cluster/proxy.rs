//! `retune store --proxy on` in front of real etcd members and of one that is made up, beside etcd's own proxy.

mod answers;
mod crossing;
mod etcdctl;
mod fake;
mod front;
mod loops;
mod outages;
mod schemes;
mod story;
mod watches;
