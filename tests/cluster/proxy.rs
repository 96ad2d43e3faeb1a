//! `retune store --proxy on` in front of real etcd members and of a fake one, beside etcd's own proxy.

mod answers;
mod etcdctl;
mod fake_member;
mod forwarding;
mod loops;
mod majority;
mod outages;
mod schemes;
mod test_proxy;
mod watches;
