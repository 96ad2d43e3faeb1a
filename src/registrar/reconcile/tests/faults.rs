//! Lost requests and responses.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::ReconcilerConfig;
use super::store::{RequestFate, Store};
use super::{Running, config, desired, map, until};
use crate::registrar::settings::{Lease, OnExit};

#[tokio::test]
async fn a_write_whose_reply_was_lost_is_recognised_as_ours() {
    let store = Store::new();
    // The response to the first write of each kind is lost.
    let mut lost = std::collections::BTreeSet::new();
    store.guard(move |request| {
        let kind = ["prevExist=false", "refresh=true", "DELETE", "prevIndex="]
            .into_iter()
            .find(|kind| request.contains(kind));
        let new = kind.is_some_and(|kind| request.contains("/web/") && lost.insert(kind));
        if new { RequestFate::LoseAnswer } else { RequestFate::Open }
    });
    let reconciler = Running::start(&store, config(), desired(&[("/web/a", "1")]));
    until("it is held", || reconciler.kept("/web/a").is_some_and(|(held, _)| held)).await;
    until("it is renewed", || reconciler.count("keys_refreshed_total") >= 3).await;
    reconciler.desired(&[("/web/a", "2")]);
    until("it is changed", || store.value("/web/a").as_deref() == Some("2")).await;
    // The old value was confirmed as well: only the count shows that the reconciler knows of the change.
    until("the change is known", || reconciler.count("keys_added_total") == 2).await;
    reconciler.desired(&[]);
    until("it is gone", || reconciler.kept("/web/a").is_none() && !store.has("/web")).await;
    assert_eq!(reconciler.count("key_conflicts_total"), 0);
    assert!(reconciler.count("store_errors_total") >= 3);
    // A reconciler's own writes are counted as added, not as found.
    assert_eq!(reconciler.count("keys_added_total"), 2);
    assert_eq!(reconciler.status_board.status().store_error, "");
}

#[tokio::test]
async fn a_changed_value_after_a_lost_reply_ends_as_desired() {
    let store = Store::new();
    let reconciler = Running::start(&store, config(), desired(&[("/web/a", "1")]));
    until("it is known", || reconciler.count("keys_added_total") == 1).await;
    store.guard(
        |request| if request.contains("value=2") { RequestFate::LoseAnswer } else { RequestFate::Open },
    );
    reconciler.desired(&[("/web/a", "2")]);
    until("the store has it", || store.value("/web/a").as_deref() == Some("2")).await;
    reconciler.desired(&[("/web/a", "1")]);
    until("it is back", || store.value("/web/a").as_deref() == Some("1")).await;
    store.guard(
        |request| if request.starts_with("DELETE") { RequestFate::LoseAnswer } else { RequestFate::Open },
    );
    reconciler.desired(&[]);
    until("it is gone", || !store.has("/web/a")).await;
    reconciler.desired(&[("/web/a", "1")]);
    until("it is back", || store.has("/web/a")).await;
    assert_eq!(reconciler.count("key_conflicts_total"), 0);
}

#[tokio::test]
async fn after_an_outage_longer_than_the_leases_the_store_is_as_desired() {
    let store = Store::new();
    let reconciler =
        Running::start(&store, config(), desired(&[("/web/a", "1"), ("/web/b", "1"), ("/web/c", "1")]));
    until("they are known", || reconciler.count("keys_added_total") == 3).await;
    store.guard(|_| RequestFate::LoseRequest);
    until("it is noticed", || !reconciler.status_board.status().store_error.is_empty()).await;
    reconciler.desired(&[("/web/b", "1"), ("/web/c", "2"), ("/web/d", "1")]);
    until("the leases have run out", || store.all().is_empty()).await;
    store.open();
    let back = Instant::now();
    until("all is as desired", || store.all() == map(&[("/web/b", "1"), ("/web/c", "2"), ("/web/d", "1")]))
        .await;
    assert!(back.elapsed() < Duration::from_secs(8), "{:?}", back.elapsed());
    until("it is noticed", || reconciler.status_board.status().store_error.is_empty()).await;
    // Delays grow: an outage of seconds takes only a few attempts.
    assert!(reconciler.count("store_errors_total") < 40, "{}", reconciler.count("store_errors_total"));
}

#[tokio::test]
async fn one_request_that_hangs_does_not_delay_another_key() {
    let store = Store::new();
    let reconciler = Running::start(&store, config(), desired(&[("/web/a", "1")]));
    until("it is known", || reconciler.count("keys_added_total") == 1).await;
    store.guard(|request| {
        if request.contains("/web/slow") {
            RequestFate::Hang(Duration::from_secs(60))
        } else {
            RequestFate::Open
        }
    });
    reconciler.desired(&[("/web/a", "1"), ("/web/slow", "1")]);
    until("it hangs", || store.seen().iter().any(|request| request.contains("/web/slow"))).await;
    let begun = Instant::now();
    reconciler.desired(&[("/web/a", "1"), ("/web/slow", "1"), ("/web/new", "1")]);
    until("the new one is there", || store.has("/web/new")).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_key_that_the_store_keeps_failing_on_does_not_starve_the_others() {
    let store = Store::new();
    store.guard(|request| {
        if request.contains("/web/a") { RequestFate::Say(500, String::new()) } else { RequestFate::Open }
    });
    let reconciler =
        Running::start(&store, config(), desired(&[("/web/a", "1"), ("/web/b", "1"), ("/web/c", "1")]));
    until("the others are there", || store.all() == map(&[("/web/b", "1"), ("/web/c", "1")])).await;
    reconciler.desired(&[("/web/a", "1"), ("/web/b", "1"), ("/web/c", "1"), ("/web/d", "1")]);
    until("one more is there", || store.has("/web/d")).await;
    until("they stay there", || reconciler.count("keys_refreshed_total") > 10).await;
}

#[tokio::test]
async fn an_unreachable_store_is_given_up_after_exactly_the_configured_attempts() {
    let store = Store::new();
    store.guard(|_| RequestFate::LoseRequest);
    let mut reconciler =
        Running::start(&store, ReconcilerConfig { attempts: Some(3), ..config() }, desired(&[("/a", "1")]));
    let error = reconciler.tasks.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(error.contains("EOF") && error.ends_with("(after 3 tries)"), "{error}");
    assert_eq!(store.seen().len(), 3);
    let patient = Running::start(&store, config(), desired(&[("/a", "1")]));
    until("it goes on", || store.seen().len() > 6).await;
    store.open();
    until("it is there", || store.has("/a")).await;
    patient.end().await.unwrap();
}

#[tokio::test]
async fn shutdown_with_an_unreachable_store_is_quick() {
    for on_exit in [OnExit::Keep, OnExit::Remove] {
        let store = Store::new();
        let reconciler = Running::start(
            &store,
            ReconcilerConfig { on_exit, ..config() },
            desired(&[("/a", "1"), ("/b", "1")]),
        );
        until("they are known", || reconciler.count("keys_added_total") == 2).await;
        store.guard(|_| RequestFate::Hang(Duration::from_secs(60)));
        reconciler.desired(&[("/b", "1")]);
        until("it hangs", || store.seen().iter().any(|request| request.starts_with("DELETE"))).await;
        let begun = Instant::now();
        reconciler.end().await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(6), "{on_exit:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn refused_removals_at_shutdown_are_given_up_in_time_and_not_hammered() {
    let store = Store::new();
    let lease = Lease { ttl: Some(Duration::from_secs(60)), ..config().lease };
    let remove = ReconcilerConfig { on_exit: OnExit::Remove, lease, ..config() };
    let reconciler = Running::start(&store, remove, desired(&[("/a", "1"), ("/b", "1")]));
    until("they are known", || reconciler.count("keys_added_total") == 2).await;
    store.guard(|request| {
        let no = r#"{"errorCode":110,"message":"no","cause":"","index":0}"#;
        if request.starts_with("DELETE /v2/keys/a") {
            RequestFate::Say(401, no.into())
        } else {
            RequestFate::Open
        }
    });
    let begun = Instant::now();
    reconciler.end().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(store.all().keys().collect::<Vec<_>>(), ["/a"]);
    let tries = store.seen().iter().filter(|request| request.starts_with("DELETE /v2/keys/a")).count();
    assert!((2..40).contains(&tries), "{tries}");
}

#[tokio::test]
async fn under_any_faults_the_store_becomes_as_desired_and_foreign_keys_are_untouched() {
    let store = Store::new();
    for seed in 0..3 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut fates = StdRng::seed_from_u64(seed + 100);
        store.set("/web/foreign", "theirs").await;
        store.guard(move |_| match fates.random_range(0..10) {
            0 => RequestFate::LoseAnswer,
            1 => RequestFate::LoseRequest,
            2 => RequestFate::Say(503, String::new()),
            _ => RequestFate::Open,
        });
        let mut reconciler = Some(Running::start(&store, config(), desired(&[])));
        let mut want: Vec<(String, String)> = Vec::new();
        for _ in 0..25 {
            want.clear();
            for key in 0..6 {
                if rng.random_range(0..3) > 0 {
                    want.push((format!("/web/{key}"), rng.random_range(0..3).to_string()));
                }
            }
            let keys: Vec<(&str, &str)> =
                want.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            match rng.random_range(0..8) {
                0 => {
                    reconciler.take().expect("one is running").crash().await;
                    reconciler = Some(Running::start(&store, config(), desired(&keys)));
                }
                1 => store.delete("/web").await,
                _ => {}
            }
            if !store.has("/web/foreign") {
                store.set("/web/foreign", "theirs").await;
            }
            reconciler.as_ref().expect("one is running").desired(&keys);
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..120))).await;
        }
        store.open();
        want.push(("/web/foreign".into(), "theirs".into()));
        let want = want.into_iter().collect();
        until(&format!("seed {seed}: as wished"), || store.all() == want).await;
        let reconciler = reconciler.expect("one is running");
        reconciler.desired(&[]);
        until("only the foreign one is left", || store.all() == map(&[("/web/foreign", "theirs")])).await;
        assert_eq!(store.directories().await, ["/web"]);
        reconciler.end().await.unwrap();
    }
}
