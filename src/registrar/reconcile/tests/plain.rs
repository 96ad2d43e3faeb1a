//! What a reconciler does when nothing goes wrong.

use std::time::Duration;

use tokio::time::timeout;

use super::super::{ReconcilerConfig, dry_run};
use super::store::Store;
use super::{Running, config, desired, map, until};
use crate::registrar::settings::{Lease, OnExit};

#[tokio::test]
async fn a_renewal_extends_the_lease_and_wakes_no_watcher() {
    let store = Store::new();
    let reconciler = Running::start(&store, config(), desired(&[("/web/a", "10.0.0.1:80")]));
    until("the key is there", || store.value("/web/a").is_some()).await;
    let begun = store.get("/web/a").await;
    let keys = store.keys();
    let watch = keys.next(b"/web", (begun.node.modified + 1, 0), true);
    let beyond = Duration::from_secs(3);
    assert!(timeout(beyond, watch).await.is_err(), "a watcher was woken");
    assert!(reconciler.count("keys_refreshed_total") >= 5);
    let now = store.get("/web/a").await.node;
    assert_eq!((now.value.as_str(), now.created), ("10.0.0.1:80", begun.node.created));
    assert!(now.modified > begun.node.modified && (1..=2).contains(&now.ttl), "{now:?}");
    reconciler.crash().await;
    until("the lease has run out", || !store.has("/web/a")).await;
}

#[tokio::test]
async fn a_value_changes_by_one_write_and_emptied_directories_are_removed_but_not_the_prefix() {
    let store = Store::new();
    let config = ReconcilerConfig { prefix: "/svc".into(), ..config() };
    let reconciler = Running::start(&store, config, desired(&[("/svc/web/a", "1"), ("/svc/web/b", "1")]));
    until("both are there", || store.all().len() == 2).await;
    let from = store.index() + 1;
    reconciler.desired(&[("/svc/web/a", "2"), ("/svc/web/b", "1")]);
    let event = store.keys().next(b"/svc", (from, 0), true).await.unwrap();
    assert_eq!((event.action.as_str(), event.node.value.as_str()), ("compareAndSwap", "2"));
    reconciler.desired(&[("/svc/web/b", "1")]);
    until("one is gone", || store.all() == map(&[("/svc/web/b", "1")])).await;
    assert!(store.has("/svc/web"), "a directory that is in use stays");
    reconciler.desired(&[]);
    until("the directory is gone", || !store.has("/svc/web")).await;
    until("the board says so", || reconciler.count("keys_removed_total") == 2).await;
    assert!(store.has("/svc"));
    assert_eq!(reconciler.kept("/svc/web/a"), None);
    assert_eq!(reconciler.count("key_conflicts_total"), 0);
}

#[tokio::test]
async fn a_key_lost_by_the_store_is_restored_within_a_period() {
    let store = Store::new();
    let names: Vec<String> = (0..100).map(|number| format!("/web/{number}")).collect();
    let keys: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "10.0.0.1:80")).collect();
    let reconciler = Running::start(&store, config(), desired(&keys));
    until("all are there", || store.all().len() == 100).await;
    store.delete("/web").await;
    store.delete("/_retune").await;
    let emptied = tokio::time::Instant::now();
    until("all are there again", || store.all().len() == 100).await;
    assert!(emptied.elapsed() < Duration::from_secs(2), "{:?}", emptied.elapsed());
    until("they are counted", || reconciler.count("keys_recreated_total") == 100).await;
    reconciler.desired(&keys[1..]);
    until("the list is there again", || {
        store.value("/_retune/owned/h1/s").is_some_and(|list| list.contains("/web/7"))
    })
    .await;
}

#[tokio::test]
async fn without_leases_a_lost_key_is_found_by_a_probe() {
    let store = Store::new();
    let forever = ReconcilerConfig { lease: Lease { ttl: None, ..config().lease }, ..config() };
    let reconciler = Running::start(&store, forever, desired(&[("/a", "1")]));
    until("it is there", || store.value("/a").is_some()).await;
    assert_eq!(store.get("/a").await.node.expiration, None);
    store.delete("/a").await;
    until("it is there again", || store.value("/a").is_some()).await;
    until("it is counted", || reconciler.count("keys_recreated_total") == 1).await;
    reconciler.end().await.unwrap();
    assert_eq!(store.value("/a").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_stop_keeps_the_keys_or_removes_them_and_the_list() {
    for (on_exit, left) in [(OnExit::Keep, true), (OnExit::Remove, false)] {
        let store = Store::new();
        let config = ReconcilerConfig { on_exit, ..config() };
        let reconciler = Running::start(&store, config, desired(&[("/web/a", "1"), ("/web/b", "2")]));
        until("they are there", || store.all().len() == 2).await;
        until("they are known", || reconciler.count("keys_added_total") == 2).await;
        reconciler.end().await.unwrap();
        assert_eq!(store.has("/web/a"), left, "{on_exit:?}");
        assert_eq!(store.has("/web"), left, "{on_exit:?}");
        assert_eq!(store.has("/_retune/owned/h1/s"), left, "{on_exit:?}");
    }
}

#[tokio::test]
async fn a_removal_requested_before_the_stop_is_still_done() {
    let store = Store::new();
    let reconciler = Running::start(&store, config(), desired(&[("/web/a", "1"), ("/web/b", "2")]));
    until("they are known", || reconciler.count("keys_added_total") == 2).await;
    reconciler.stop.request();
    reconciler.desired(&[("/web/b", "2")]);
    reconciler.end().await.unwrap();
    assert_eq!(store.all(), map(&[("/web/b", "2")]));
}

#[tokio::test]
async fn a_released_key_is_neither_deleted_nor_renewed() {
    let store = Store::new();
    let reconciler = Running::start(&store, config(), desired(&[("/web/a", "1")]));
    until("it is known", || reconciler.count("keys_added_total") == 1).await;
    let mut released = desired(&[]);
    released.released.insert("/web/a".into());
    reconciler.wanted.send_replace(released);
    until("it is known no more", || reconciler.kept("/web/a").is_none()).await;
    assert!(store.has("/web/a"), "left to its lease, it is still there");
    // Off the list, so that the next run does not delete it either.
    until("off the list", || !store.value("/_retune/owned/h1/s").is_some_and(|list| list.contains("/web/a")))
        .await;
    until("its lease has run out", || !store.has("/web/a")).await;
    assert_eq!(reconciler.count("keys_removed_total"), 0);
}

#[tokio::test]
async fn a_dry_run_reports_changes_and_writes_nothing() {
    let store = Store::new();
    let reconciler =
        Running::start(&store, config(), desired(&[("/web/a", "1"), ("/web/b", "1"), ("/web/c", "1")]));
    until("they are known", || reconciler.count("keys_added_total") == 3).await;
    reconciler.end().await.unwrap();
    store.set("/other", "theirs").await;
    let (before, cluster) = (store.index(), store.cluster());
    let wanted = desired(&[("/web/a", "1"), ("/web/b", "2"), ("/new", "x"), ("/other", "ours")]);
    let lines = dry_run(&cluster, &config(), &wanted).await.unwrap();
    assert_eq!(
        lines,
        [
            "would add /new = x",
            "held by another owner: /other = \"theirs\", wanted ours",
            "would replace /web/b = 2 (was \"1\")",
            "would remove /web/c = 1",
        ]
    );
    assert_eq!(store.index(), before);
}
