//! Power cuts at any moment: a trace gives the possible states of the disk, and the member starts on them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::member::Member;
use super::write_history::{Node, Observed};
use super::{budget, rounds, writers};
use crate::support::programs::need_program;
use crate::support::rng::TestRng;
use crate::support::trace::parse;
use crate::support::trace_disk::{HonoredSyncs, Image, Recording, Sent, UnsyncedWrites};
use crate::support::{WAIT_TIMEOUT, eventually};

const WRITERS: usize = 3;
/// The calls that change files or send bytes, and those that identify the file. Not `read`: that would be most of
/// the trace, and no file but the lock is read and written at one descriptor's own position.
const CALLS: &str = "trace=write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,sync_file_range,sync,syncfs,\
                     ftruncate,truncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,open,\
                     openat,creat,close,dup,dup2,dup3,fcntl,lseek,sendto,sendmsg,copy_file_range,sendfile,splice,link,\
                     linkat,symlink,symlinkat,mmap,io_uring_setup";

/// An acknowledged write, in index order.
#[derive(Clone, Debug)]
struct AcknowledgedWrite {
    /// When its response began to be sent.
    at: usize,
    index: u64,
    key: String,
    /// `None` for a deletion.
    node: Option<Node>,
}

/// A member that ran under a tracer, and the trace.
struct Traced {
    member: Member,
    recording: Recording,
    told: Vec<AcknowledgedWrite>,
    /// The state before the trace began.
    before: BTreeMap<String, Node>,
}

/// Runs a scripted load under the tracer, in an empty folder or in that of an earlier load.
fn traced(snapshot_count: &str, rng: &mut TestRng, again: bool) -> Option<Traced> {
    if !need_program("strace") {
        return None;
    }
    let words = ["--snapshot-count", snapshot_count];
    // etcd never syncs the name of a new folder, which this model does not tolerate.
    let mut member = if again { Member::new(&words)? } else { Member::of_ours(&words)? };
    let mut write_history = writers::write_history(WRITERS);
    let mut before = BTreeMap::new();
    if again {
        member.start();
        bulk(&member);
        // Long enough for the large values to leave the history, which every snapshot contains.
        load(&member, &mut write_history, rng, 0, Duration::from_secs(3));
        before = writers::observe(&mut member.wire()).unwrap().files;
        member.kill();
    }
    let root = member.path("");
    let initial = image_of(&member.data(), "data");
    let trace = member.path("trace");
    member.under(&[
        "strace",
        // The tracer stays in the background, so that signals and kills reach the member.
        "-D",
        "-f",
        "-y",
        "-xx",
        "-s",
        "16777216",
        "--seccomp-bpf",
        "-o",
        trace.to_str().unwrap(),
        "-e",
        CALLS,
    ]);
    member.spawn();
    if let Err(why) = member.until_serving(Duration::from_secs(60)) {
        panic!("{why}\n{}", member.log_tail());
    }
    load(&member, &mut write_history, rng, 1, Duration::from_secs(2));
    let pid = member.pid().to_string();
    member.stop();
    member.under(&[]);
    let text = eventually("the tracer has written its last line", WAIT_TIMEOUT, || {
        let last =
            |line: &str| line.split_once(' ').is_some_and(|(own, rest)| own == pid && rest.contains("+++"));
        fs::read_to_string(&trace).ok().filter(|text| text.lines().rev().take(5).any(last))
    });
    let calls = parse(&text).unwrap();
    let root = fs::canonicalize(&root).unwrap();
    let recording = Recording::of(&root, &initial, &calls).unwrap();
    let told = acknowledged(&recording.sent);
    let (steps, syncs) = recording.size();
    eprintln!("power cut: a trace of {} MiB", text.len() >> 20);
    eprintln!("power cut: {steps} changes, {syncs} syncs, {} acknowledged writes", told.len());
    assert!(told.len() > 30, "hardly a write was acknowledged under the tracer");
    Some(Traced { member, recording, told, before })
}

fn load(
    member: &Member,
    write_history: &mut super::write_history::WriteHistory,
    rng: &mut TestRng,
    round: u64,
    span: Duration,
) {
    let (address, enough) = (member.address(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            writers::work(&address, write_history, rng, round, &|| enough.load(Ordering::Relaxed));
        });
        std::thread::sleep(span);
        enough.store(true, Ordering::Relaxed);
        work.join().unwrap();
    });
}

/// Writes until the log is about to be truncated: that then happens under the tracer.
fn bulk(member: &Member) {
    let mut wire = member.wire();
    for number in 0..150 {
        let form = format!("value={number}{}", "b".repeat(200_000));
        let answer = wire.request("PUT", &format!("/v2/keys/bulk/{}", number % 3), Some(&form)).unwrap();
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    }
}

/// Returns a folder's contents under another name; empty when the folder is missing.
fn image_of(folder: &Path, name: &str) -> Image {
    fn take(folder: &Path, name: &Path, image: &mut Image) {
        image.insert(name.to_owned(), None);
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = name.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                take(&entry.path(), &name, image);
            } else {
                image.insert(name, Some(fs::read(entry.path()).unwrap()));
            }
        }
    }
    let mut image = Image::new();
    if folder.is_dir() {
        take(folder, Path::new(name), &mut image);
    }
    image
}

/// Writes the contents after a cut to the folder.
fn restore(member: &Member, image: &Image) {
    fs::remove_dir_all(member.data()).ok();
    for (path, content) in image.iter().filter(|(path, _)| path.starts_with("data")) {
        let path = member.path("").join(path);
        match content {
            None => fs::create_dir_all(path).unwrap(),
            Some(content) => fs::write(path, content).unwrap(),
        }
    }
}

/// Returns the acknowledged writes among the sent data.
fn acknowledged(sent: &[Sent]) -> Vec<AcknowledgedWrite> {
    let mut streams: BTreeMap<&str, (usize, Vec<u8>)> = BTreeMap::new();
    let mut told = Vec::new();
    for part in sent {
        let (at, stream) = streams.entry(&part.socket).or_insert_with(|| (part.start, Vec::new()));
        if stream.is_empty() {
            *at = part.start;
        }
        stream.extend_from_slice(&part.data);
        while let Some((length, body)) = answer(stream) {
            told.extend(parse_acknowledged(*at, &body));
            stream.drain(..length);
            *at = part.start;
        }
    }
    told.sort_by_key(|told| told.index);
    told
}

/// Returns the first complete response of a stream: its length and its body.
fn answer(stream: &[u8]) -> Option<(usize, Vec<u8>)> {
    let head = stream.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&stream[..head]).to_lowercase();
    if text.contains("transfer-encoding: chunked") {
        let (mut at, mut body) = (head, Vec::new());
        loop {
            let end = at + stream[at..].windows(2).position(|window| window == b"\r\n")?;
            let size = usize::from_str_radix(std::str::from_utf8(&stream[at..end]).ok()?, 16).ok()?;
            body.extend_from_slice(stream.get(end + 2..end + 2 + size)?);
            at = end + 4 + size;
            stream.get(..at)?;
            if size == 0 {
                return Some((at, body));
            }
        }
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    Some((head + length, stream.get(head..head + length)?.to_vec()))
}

fn parse_acknowledged(at: usize, body: &[u8]) -> Option<AcknowledgedWrite> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let action = json["action"].as_str()?;
    let node = Node::of(&json["node"]);
    let key = json["node"]["key"].as_str()?.to_owned();
    let node_kept = match action {
        "set" | "create" | "update" | "compareAndSwap" => Some(node.clone()),
        "delete" => None,
        _ => return None,
    };
    Some(AcknowledgedWrite { at, index: node.modified, key, node: node_kept })
}

/// Returns what is wrong with a state after a cut at this line: it must be the state after some write, not older
/// than the last acknowledged one.
fn wrong(
    told: &[AcknowledgedWrite],
    before: &BTreeMap<String, Node>,
    at: usize,
    observed: &Observed,
) -> Option<String> {
    let least = told.iter().filter(|told| told.at <= at).map(|told| told.index).max().unwrap_or(0);
    if observed.index < least {
        return Some(format!("the index went back from {least} to {}", observed.index));
    }
    let mut state = before.clone();
    let mut rest = told.iter().peekable();
    loop {
        // Deletions and writes up to the lowest index are certain, the later ones may be there, in order.
        while let Some(next) = rest.next_if(|next| next.index <= least) {
            change(&mut state, next);
        }
        if state == observed.files {
            return None;
        }
        match rest.next() {
            Some(next) => change(&mut state, next),
            None => break,
        }
    }
    Some(format!("it is no state from {least} on: {}", differences(told, before, least, observed)))
}

fn change(state: &mut BTreeMap<String, Node>, told: &AcknowledgedWrite) {
    match &told.node {
        Some(node) => drop(state.insert(told.key.clone(), node.clone())),
        None => drop(state.remove(&told.key)),
    }
}

fn differences(
    told: &[AcknowledgedWrite],
    before: &BTreeMap<String, Node>,
    least: u64,
    observed: &Observed,
) -> String {
    let mut state = before.clone();
    told.iter().filter(|told| told.index <= least).for_each(|told| change(&mut state, told));
    let keys = state.keys().chain(observed.files.keys());
    let differ = keys.filter(|key| state.get(*key) != observed.files.get(*key));
    let short = |node: Option<&Node>| {
        node.map(|node| (node.modified, node.value.chars().take(20).collect::<String>()))
    };
    differ
        .take(8)
        .map(|key| {
            format!("\n  {key}: {:?} instead of {:?}", short(observed.files.get(key)), short(state.get(key)))
        })
        .collect()
}

/// Cuts the power at many moments and starts on the result.
fn cut_and_start(traced: &mut Traced, rng: &mut TestRng, cuts: u32) {
    let (cuts, span) = (rounds("RETUNE_TEST_CUTS", cuts), budget(60));
    let begun = Instant::now();
    let (ends, mut done) = (traced.recording.sync_ends(), 0);
    while done < cuts && begun.elapsed() < span {
        let at = match rng.below(4) {
            0 => traced.told[rng.index(traced.told.len())].at,
            1 => ends[rng.index(ends.len())] + rng.index(3),
            _ => rng.index(traced.recording.lines),
        };
        let rest = [
            UnsyncedWrites::Lost,
            UnsyncedWrites::Kept,
            UnsyncedWrites::Prefix,
            UnsyncedWrites::Random,
            UnsyncedWrites::Random,
        ][rng.index(5)];
        let image = traced.recording.cut(at, HonoredSyncs::All, rest, &mut |bound| rng.index(bound));
        let member = &mut traced.member;
        restore(member, &image);
        member.clear_log();
        member.spawn();
        let found = match member.until_serving(Duration::from_secs(20)) {
            Err(why) => Some(format!("it did not start without a hand: {why}")),
            Ok(()) => wrong(&traced.told, &traced.before, at, &writers::observe(&mut member.wire()).unwrap()),
        };
        member.kill();
        if let Some(found) = found {
            let kept = keep_for_inspection(member, &image);
            panic!(
                "a cut at line {at} with the rest {rest:?}: {found}\n--- folder: {kept}\n--- log\n{}",
                member.log_tail()
            );
        }
        done += 1;
    }
    eprintln!("power cut: {done} cuts, everything acknowledged was there");
    assert!(done >= cuts.min(10), "only {done} cuts in {span:?}");
}

/// Keeps the folder of a failure for inspection.
fn keep_for_inspection(member: &Member, image: &Image) -> String {
    let at = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("power-cut-{}", std::process::id()));
    fs::remove_dir_all(&at).ok();
    fs::create_dir_all(&at).unwrap();
    fs::copy(member.path("trace"), at.join("trace")).unwrap();
    for (path, content) in image {
        match content {
            None => fs::create_dir_all(at.join(path)).unwrap(),
            Some(content) => fs::write(at.join(path), content).unwrap(),
        }
    }
    at.display().to_string()
}

#[test]
fn a_power_cut_loses_no_acknowledged_write() {
    let mut rng = TestRng::from_env("power_cut");
    let Some(mut traced) = traced("40", &mut rng, false) else { return };
    cut_and_start(&mut traced, &mut rng, 60);
}

#[test]
fn a_power_cut_after_a_restart_loses_no_acknowledged_write() {
    let mut rng = TestRng::from_env("power_cut_again");
    let Some(mut traced) = traced("400", &mut rng, true) else { return };
    cut_and_start(&mut traced, &mut rng, 20);
}

#[test]
fn an_ignored_sync_loses_writes_and_the_check_detects_it() {
    let mut rng = TestRng::from_env("power_cut_doubted");
    let Some(mut traced) = traced("100000", &mut rng, false) else { return };
    let at = traced.recording.lines;
    let image = traced
        .recording
        .cut(at, HonoredSyncs::NotFdatasync, UnsyncedWrites::Lost, &mut |bound| rng.index(bound));
    restore(&traced.member, &image);
    traced.member.spawn();
    let found = match traced.member.until_serving(Duration::from_secs(20)) {
        Err(why) => why,
        Ok(()) => {
            let observed = writers::observe(&mut traced.member.wire()).unwrap();
            wrong(&traced.told, &BTreeMap::new(), at, &observed).unwrap_or_default()
        }
    };
    assert!(!found.is_empty(), "acknowledged writes cannot survive when no fdatasync counts");
}
