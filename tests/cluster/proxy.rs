//! `retune store --proxy on` in front of real etcd members and of a fake one, beside etcd's own proxy.

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
