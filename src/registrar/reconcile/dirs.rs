//! Removes directories that are left empty.

use super::request::{NOT_FOUND, keys_of};
use crate::client::cluster::{Cluster, Delete};
use crate::key;

/// Deletes the empty directories above `key`, nearest first, up to but not including `prefix` and the root. A directory
/// that cannot be deleted is left: it does no harm, and the next removal tries again.
pub(super) async fn remove_empty(cluster: &Cluster, key: &str, prefix: &str) {
    for dir in removable(key, prefix) {
        // Not recursive: the store itself rejects the deletion of a directory that is not empty, also if a key came
        // just now.
        let how = Delete { dir: true, ..Delete::default() };
        match keys_of(cluster).delete(dir.as_bytes(), &how).await {
            Ok(_) => tracing::debug!("removed the empty directory {dir}"),
            Err(error) if error.code() == Some(NOT_FOUND) => {}
            Err(_) => return,
        }
    }
}

/// Returns the directories above `key` that may be deleted, nearest first.
fn removable<'k>(key: &'k str, prefix: &str) -> impl Iterator<Item = &'k str> {
    key::ancestors(key).take_while(move |dir| !key::contains(dir, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_its_parents_and_the_root_are_never_removed() {
        for (key, prefix, want) in [
            ("/web/x", "/", vec!["/web"]),
            ("/x", "/", vec![]),
            ("/a/b/web/x", "/a/b", vec!["/a/b/web"]),
            ("/a/b/x", "/a/b", vec![]),
            ("/skydns/local/web/x", "/a", vec!["/skydns/local/web", "/skydns/local", "/skydns"]),
            ("/ab/x", "/a", vec!["/ab"]),
        ] {
            assert_eq!(removable(key, prefix).collect::<Vec<_>>(), want, "{key} under {prefix}");
        }
    }
}
