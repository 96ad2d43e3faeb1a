//! What outsized changes cost: keys of thousands of levels, and the removal of a large directory.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::member::Member;
use crate::support::{WAIT_TIMEOUT, eventually};

/// What a node may cost in memory beside its name and value, in bytes. Half of it is the debug build's share.
const NODE_MEMORY: u64 = 1000;
/// The same on disk, in the mirror.
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
    const KEYS: u64 = 20;
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
    assert!(peak < nodes * NODE_MEMORY, "{peak} bytes of memory for {nodes} nodes");
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

#[test]
fn the_removal_of_a_large_directory_takes_no_more_memory_than_its_keys_took() {
    const KEYS: usize = 40_000;
    let Some(mut member) = Member::of_ours(&[]) else { return };
    member.start();
    let before = member.memory("VmRSS");
    let threads: Vec<_> = (0..8_usize)
        .map(|part| {
            let mut wire = member.wire();
            std::thread::spawn(move || {
                for n in 0..KEYS / 8 {
                    let path = format!("/v2/keys/many/of/them/{part}-{n:06}");
                    assert_eq!(wire.request("PUT", &path, Some("value=v")).unwrap().status, 201);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    std::thread::sleep(Duration::from_millis(2500));
    let full = member.memory("VmRSS");
    let status = format!("/proc/{}/clear_refs", member.pid());
    fs::write(status, "5").unwrap();
    let mut wire = member.wire();
    assert_eq!(wire.request("DELETE", "/v2/keys/many?recursive=true", None).unwrap().status, 200);
    std::thread::sleep(Duration::from_millis(4000));
    let (peak, after) = (member.memory("VmHWM"), member.memory("VmRSS"));
    eprintln!("{before} kB before, {full} kB with the keys, {peak} kB at the peak, {after} kB after");
    assert!(peak < full + (full - before).max(90 << 10), "{full} kB with the keys, {peak} kB at the peak");
    assert!(after < full + (10 << 10), "{full} kB with the keys, {after} kB after the removal");
}
