//! What outsized changes cost: keys of thousands of levels.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::member::Member;
use crate::support::{WAIT_TIMEOUT, eventually};

/// What the mirror may take in memory while it writes a batch, in bytes.
const BATCH_MEMORY: u64 = 100 << 20;
/// What a node may cost in memory beside its name and value.
const NODE_MEMORY: u64 = 1000;
/// The same on disk, in the mirror, whose file is never smaller than some segments.
const NODE_DISK: u64 = 500;

fn folder_bytes(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(kind) if kind.is_dir() => folder_bytes(&entry.path()),
            Ok(kind) => kind.len(),
            Err(_) => 0,
        })
        .sum()
}

#[test]
fn keys_of_thousands_of_levels_cost_little_memory_and_disk_also_after_a_kill() {
    const KEYS: u64 = 10;
    const LEVELS: usize = 2_400;
    let Some(mut member) = Member::of_ours(&[]) else { return };
    member.start();
    let before = member.memory("VmRSS");
    let mirror = member.data().join("member/mirror");
    let mut wire = member.wire();
    for n in 0..KEYS {
        let path = format!("/v2/keys/deep/{n}{}", "/d".repeat(LEVELS - 1));
        assert_eq!(wire.request("PUT", &path, Some("value=v")).unwrap().status, 201);
    }
    let nodes = KEYS * LEVELS as u64;
    eventually("the keys are mirrored", WAIT_TIMEOUT, || folder_bytes(&mirror) > 1 << 20);
    std::thread::sleep(Duration::from_millis(1500));
    let (peak, disk) = (member.memory("VmHWM").saturating_sub(before) << 10, folder_bytes(&mirror));
    eprintln!("{nodes} nodes: {peak} bytes of memory at the peak, {disk} on disk");
    assert!(peak < BATCH_MEMORY + nodes * NODE_MEMORY, "{peak} bytes of memory for {nodes} nodes");
    assert!(disk < nodes * NODE_DISK, "{disk} bytes on disk for {nodes} nodes");
    let shown = wire.get("/v2/keys/deep/7?recursive=true&sorted=true").unwrap();
    assert_eq!(shown.status, 200);
    // From the log and what the mirror had, then from the log alone.
    member.kill();
    member.start();
    member.kill();
    fs::remove_dir_all(&mirror).unwrap();
    member.start();
    let mut wire = member.wire();
    let again = wire.get("/v2/keys/deep/7?recursive=true&sorted=true").unwrap();
    assert!(again.body == shown.body, "the tree is another after the restart");
    assert_eq!(wire.request("DELETE", "/v2/keys/deep?recursive=true", None).unwrap().status, 200);
    assert_eq!(wire.get("/v2/keys/deep").unwrap().code(), 100);
    assert!(!member.log().contains("panicked"), "{}", member.log_tail());
}
