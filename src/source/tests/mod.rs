//! Sources against small scripted servers and real files.

mod etcd2;
mod etcd3;
mod files;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

use super::{Backend, Follow, Settings, Snapshot, Source, SourceEvent};
use crate::client::fake_server::{FakeServer, Reply, Request};
use crate::values::{Change, Datum};

const LONG_TIMEOUT: Duration = Duration::from_secs(10);

fn etcd(backend: Backend, fake: &FakeServer) -> Source {
    // The scripts count requests, so no extra request may be sent.
    etcd_at(backend, fake, false)
}

fn etcd_at(backend: Backend, fake: &FakeServer, sync: bool) -> Source {
    let nodes = vec![fake.url.clone()];
    let timeout = Duration::from_secs(2);
    Source::new(Settings { backend, nodes, timeout, sync, ..Settings::default() }).unwrap()
}

fn roots(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Follows `source` while `body` checks the events.
async fn following<B, F>(source: &Source, names: &[&str], body: B)
where
    B: FnOnce(Receiver<SourceEvent>) -> F,
    F: Future<Output = ()>,
{
    let (sender, receiver) = channel(16);
    let how = Follow { watch: true, relist: None };
    tokio::join!(
        async {
            timeout(2 * LONG_TIMEOUT, source.follow(roots(names), how, sender))
                .await
                .expect("it ends with its listener");
        },
        body(receiver)
    );
}

async fn next(news: &mut Receiver<SourceEvent>) -> SourceEvent {
    timeout(LONG_TIMEOUT, news.recv()).await.expect("news in time").expect("it follows for ever")
}

async fn snapshot(news: &mut Receiver<SourceEvent>) -> Snapshot {
    match next(news).await {
        SourceEvent::Snapshot(snapshot) => snapshot,
        other => panic!("no snapshot but {other:?}"),
    }
}

async fn changes(news: &mut Receiver<SourceEvent>) -> Vec<Change> {
    match next(news).await {
        SourceEvent::Changes { changes, .. } => changes,
        other => panic!("no changes but {other:?}"),
    }
}

fn set(key: &str, value: &str) -> Change {
    Change::Set(Arc::from(key), Datum::from(value))
}

fn delete(key: &str) -> Change {
    Change::Delete(Arc::from(key))
}

#[tokio::test]
async fn without_roots_nothing_is_requested() {
    let fake = FakeServer::new(|_, _| Reply::Complete(500, 0, String::new()));
    for backend in [Backend::Etcd, Backend::EtcdV3] {
        let source = etcd(backend, &fake);
        assert!(source.fetch(&[]).await.unwrap().entries.is_empty());
        following(&source, &[], |mut news| async move {
            assert!(snapshot(&mut news).await.entries.is_empty());
        })
        .await;
    }
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn the_environment_is_sent_at_the_relist_interval() {
    let source = Source::new(Settings { backend: Backend::Env, ..Settings::default() }).unwrap();
    assert!(!source.watches() && source.describe() == "env");
    let (sender, mut news) = channel(1);
    let how = Follow { watch: true, relist: Some(Duration::from_millis(20)) };
    tokio::select! {
        () = source.follow(roots(&["/path"]), how, sender) => panic!("it follows for ever"),
        () = async {
            for _ in 0..3 {
                assert_eq!(snapshot(&mut news).await.entries.len(), 1);
            }
        } => {}
    }
}
