//! Disks that are full, read-only, or contain other bytes than were written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::disk_errors::assert_one_sentence;
use super::member::{Member, copy};
use super::write_history::{Node, Observed, WriteHistory, WriteLog};
use super::{budget, rounds, writers};
use crate::support::programs::{need_mounts, need_program};
use crate::support::rng::TestRng;
use crate::support::{Mount, WAIT_TIMEOUT, eventually};

/// Writes until the disk is full; returns every acknowledged key with its value's length.
fn fill(member: &Member, pause: Duration) -> (BTreeMap<String, u64>, String) {
    let (mut wire, mut kept) = (member.wire().with_timeout(Duration::from_secs(15)), BTreeMap::new());
    for number in 0..2000 {
        let key = format!("/fill/{number}");
        let form = format!("value={}", "f".repeat(50_000));
        let begun = Instant::now();
        let why = match wire.request("PUT", &format!("/v2/keys{key}"), Some(&form)) {
            Ok(answer) if answer.status == 201 => {
                kept.insert(key, Node::of(&answer.json()["node"]).modified);
                std::thread::sleep(pause);
                continue;
            }
            Ok(answer) => format!("{}: {}", answer.status, answer.text()),
            Err(error) => error.to_string(),
        };
        assert!(begun.elapsed() < Duration::from_secs(14), "a refusal took {:?}", begun.elapsed());
        return (kept, why);
    }
    panic!("100 MB went into a small disk");
}

#[track_caller]
fn all_there(member: &Member, kept: &BTreeMap<String, u64>) {
    let observed = writers::observe(&mut member.wire()).unwrap();
    for (key, index) in kept {
        let got = observed.files.get(key).unwrap_or_else(|| panic!("{key} is lost\n{}", member.log_tail()));
        assert_eq!((got.modified, got.value.len()), (*index, 50_000), "{key}");
    }
    assert!(observed.index >= kept.values().copied().max().unwrap_or(0));
}

#[test]
fn a_full_disk_refuses_writes_with_a_clear_error_and_loses_none() {
    if !need_mounts() {
        return;
    }
    let Some(mut member) = Member::of_ours(&[]) else { return };
    fs::create_dir(member.data()).unwrap();
    fs::set_permissions(member.data(), fs::Permissions::from_mode(0o700)).unwrap();
    let disk = Mount::tmpfs("64m", &member.data());
    member.start();
    let (kept, why) = fill(&member, Duration::ZERO);
    eprintln!("full disk: {} writes, then {why}", kept.len());
    assert!(kept.len() > 20, "only {} writes fit: {why}\n{}", kept.len(), member.log_tail());
    let log = member.log().to_lowercase();
    assert!(
        ["space", "full"].iter().any(|word| log.contains(word) || why.contains(word)),
        "nothing says that the disk is full: {why}\n{log}"
    );
    // Either it continues and serves reads, or it has logged why and stopped.
    if member.ended().is_none() {
        all_there(&member, &kept);
        let mut wire = member.wire();
        let begun = Instant::now();
        let again = wire.request("PUT", "/v2/keys/more", Some(&format!("value={}", "m".repeat(50_000))));
        assert!(begun.elapsed() < Duration::from_secs(10), "{again:?}");
    }
    // The log has its own writer thread, which may be slower than the reply.
    eventually("the full disk is logged", WAIT_TIMEOUT, || member.log().contains(" ERROR "));
    assert_one_sentence(&member.log(), &[member.data().to_str().unwrap(), "room"]);
    disk.resize("256m");
    if member.ended().is_some() {
        member.kill();
        member.start();
    }
    let mut wire = member.wire();
    let (begun, mut last) = (Instant::now(), String::new());
    let works = loop {
        match wire.request("PUT", "/v2/keys/after", Some("value=1")) {
            Ok(answer) if matches!(answer.status, 200 | 201) => break true,
            Ok(answer) => last = answer.text(),
            Err(error) => last = error.to_string(),
        }
        if begun.elapsed() > WAIT_TIMEOUT {
            break false;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(works, "there is room again and it does not write: {last}\n{}", member.log_tail());
    all_there(&member, &kept);
    member.kill();
    member.start();
    all_there(&member, &kept);
    member.kill();
    drop(disk);
}

/// An operator who starts a member alone waits for it, so a full disk is an error.
#[test]
fn a_single_member_stops_on_a_full_disk_and_starts_once_there_is_space() {
    if !need_program("strace") {
        return;
    }
    let Some(mut member) = Member::of_ours(&[]) else { return };
    member.start();
    member.wire().request("PUT", "/v2/keys/a", Some("value=1")).unwrap();
    member.kill();
    let files = fs::read_dir(member.data().join("member/log")).unwrap().map(|file| file.unwrap().path());
    let log = files.filter(|path| path.extension().is_some_and(|end| end == "raftlog")).max().unwrap();
    let tracer = ["strace", "-f", "-o", "/dev/null", "-e", "trace=pwrite64", "-P", log.to_str().unwrap()];
    member.under(&[&tracer[..], &["-e", "inject=pwrite64:error=ENOSPC"]].concat());
    member.set_flags(&["--force-new-cluster"]);
    member.clear_log();
    member.spawn();
    assert_eq!(member.wait(WAIT_TIMEOUT), Some(2), "{}", member.log());
    assert_one_sentence(
        &member.log(),
        &["No space left on device (ENOSPC)", member.data().to_str().unwrap()],
    );
    member.under(&[]);
    member.start();
    let kept = member.wire().request("GET", "/v2/keys/a", None).unwrap();
    assert_eq!(kept.json()["node"]["value"], "1", "{}", kept.text());
    member.kill();
}

#[test]
fn a_quota_refuses_writes_until_something_is_deleted() {
    let Some(mut member) = Member::of_ours(&["--quota-backend-bytes", "2000000"]) else { return };
    member.start();
    // Measured after the writes and not before them, so that a fast writer exceeds it.
    let (kept, why) = fill(&member, Duration::from_millis(100));
    assert!((10..100).contains(&kept.len()), "{} writes of 50 kB: {why}", kept.len());
    assert!(why.starts_with("500") && why.contains("space"), "{why}");
    all_there(&member, &kept);
    let mut wire = member.wire();
    assert_eq!(wire.request("DELETE", "/v2/keys/fill?recursive=true", None).unwrap().status, 200);
    eventually("it takes writes again", WAIT_TIMEOUT, || {
        wire.request("PUT", "/v2/keys/after", Some("value=1"))
            .is_ok_and(|answer| matches!(answer.status, 200 | 201))
    });
}

#[test]
fn a_read_only_folder_is_refused_with_a_remedy() {
    if !need_mounts() {
        return;
    }
    let Some(mut member) = Member::of_ours(&[]) else { return };
    fs::create_dir(member.data()).unwrap();
    let disk = Mount::tmpfs("64m", &member.data());
    for round in ["an empty one", "one with data"] {
        disk.read_only();
        member.clear_log();
        member.spawn();
        let code = member.wait(WAIT_TIMEOUT);
        let log = member.log();
        assert_eq!(code, Some(2), "{round}: {log}");
        assert!(log.contains(member.data().to_str().unwrap()), "{round}: the folder is not named: {log}");
        assert_one_sentence(&log, &["Read-only file system (EROFS): ", "mount it writable"]);
        disk.writable();
        member.start();
        member.wire().request("PUT", "/v2/keys/a", Some("value=1")).unwrap();
        member.kill();
    }
}

#[test]
fn a_second_process_is_refused_with_the_process_id_of_the_first() {
    let Some(mut member) = Member::of_ours(&[]) else { return };
    member.start();
    let first = member.pid();
    let mut second = Member::of_ours(&[]).unwrap();
    std::os::unix::fs::symlink(member.data(), second.data()).unwrap();
    second.spawn();
    assert_eq!(second.wait(WAIT_TIMEOUT), Some(2), "{}", second.log());
    let log = second.log();
    assert!(log.contains(&first.to_string()) && log.contains("--data-dir"), "{log}");
    assert!(member.ended().is_none(), "the first one is unhurt");
    assert_eq!(member.wire().request("PUT", "/v2/keys/a", Some("value=1")).unwrap().status, 201);
}

/// Returns the files of a folder with their lengths, by relative path.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            all.extend(files(&entry.path()));
        } else {
            all.push((entry.path(), entry.metadata().unwrap().len()));
        }
    }
    all.sort();
    all
}

/// Returns the kind of a file from its path: each kind is damaged equally often.
fn kind(path: &Path, data: &Path) -> String {
    let path = path.strip_prefix(data).unwrap().to_string_lossy().into_owned();
    for kind in
        ["mirror/blobs", "mirror/snap", "mirror/", ".raftlog", ".rewrite", "snapshots/", "identity", "lock"]
    {
        if path.contains(kind) {
            return kind.to_owned();
        }
    }
    path
}

/// How a start on a damaged folder ended.
#[derive(Debug, PartialEq, Eq)]
enum StartOutcome {
    Started,
    Refused,
}

/// Starts on a damaged folder: every acknowledged write is there, or the start is refused with a message.
fn start_on(member: &mut Member, write_history: &WriteHistory, what: &str, tail: bool) -> StartOutcome {
    member.clear_log();
    member.spawn();
    let serving = member.until_serving(Duration::from_secs(20));
    let log = member.log();
    let tell = |text: &str| format!("{what}: {text}\n--- log\n{log}");
    assert!(!log.contains("panicked"), "{}", tell("it panicked"));
    if let Err(why) = serving {
        assert!(member.ended() == Some(2), "{}", tell(&why));
        member.kill();
        let data = member.data().display().to_string();
        assert!(log.contains(&data), "{}", tell("the refusal names no file"));
        return StartOutcome::Refused;
    }
    let observed = writers::observe(&mut member.wire()).unwrap();
    member.kill();
    let wrong = if tail { beyond_the_tail(write_history, &observed) } else { write_history.check(&observed) };
    assert!(wrong.is_empty(), "{}", tell(&wrong.join("\n")));
    StartOutcome::Started
}

/// Returns the errors beyond the last record of the log: damage there looks like an unfinished write, so only the
/// very last write may be missing.
fn beyond_the_tail(write_history: &WriteHistory, observed: &Observed) -> Vec<String> {
    let spared = |line: &String| {
        line.starts_with(LAST_KEY)
            || *line
                == format!(
                    "the index went back from {} to {}",
                    write_history.highest,
                    write_history.highest - 1
                )
    };
    write_history.check(observed).into_iter().filter(|line| !spared(line)).collect()
}

/// The key of the last write, which has its own record in the log.
const LAST_KEY: &str = "/tail/19";

/// Returns a folder with snapshots, a later log and a mirror, as after a kill, and its content.
fn used_folder(rng: &mut TestRng) -> Option<(Member, WriteHistory)> {
    let mut member = Member::of_ours(&["--snapshot-count", "150"])?;
    let mut write_history = writers::write_history(3);
    for round in 0..2 {
        member.start();
        let (address, enough) = (member.address(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                writers::work(&address, &mut write_history, rng, round, &|| enough.load(Ordering::Relaxed));
            });
            std::thread::sleep(Duration::from_millis(700));
            enough.store(true, Ordering::Relaxed);
            work.join().unwrap();
        });
        // The mirror is written later; wait until its files have content.
        std::thread::sleep(Duration::from_millis(300));
        let observed = writers::observe(&mut member.wire()).unwrap();
        write_history.settle(&observed);
        if round == 1 {
            write_history.write_logs.push(tail(&member));
            write_history.highest =
                write_history.highest.max(write_history.write_logs[3].known[LAST_KEY].modified);
        }
        member.kill();
    }
    Some((member, write_history))
}

/// Writes one after the other, each in its own record: the last ones before the kill.
fn tail(member: &Member) -> WriteLog {
    let mut write_log = WriteLog { folders: vec!["/tail".to_owned()], ..WriteLog::default() };
    let mut wire = member.wire();
    for number in 0..20 {
        let key = format!("/tail/{number}");
        let answer = wire.request("PUT", &format!("/v2/keys{key}"), Some("value=t")).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
        write_log.known.insert(key, Node::of(&answer.json()["node"]));
    }
    write_log
}

#[test]
fn a_flipped_bit_is_repaired_or_refused_and_never_served() {
    let mut rng = TestRng::from_env("flip");
    let Some((mut member, write_history)) = used_folder(&mut rng) else { return };
    let (whole, data) = (member.path("whole"), member.data());
    copy(&data, &whole);
    let mut kinds: BTreeMap<String, Vec<(PathBuf, u64)>> = BTreeMap::new();
    for (path, length) in files(&whole).into_iter().filter(|(_, length)| *length > 0) {
        kinds.entry(kind(&path, &whole)).or_default().push((path, length));
    }
    let (span, begun) = (budget(60), Instant::now());
    let mut seen: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for round in 0..rounds("RETUNE_TEST_FLIPS", 120) as usize {
        if begun.elapsed() > span {
            break;
        }
        let (kind, list) = kinds.iter().nth(round % kinds.len()).unwrap();
        let (path, length) = &list[rng.index(list.len())];
        fs::remove_dir_all(&data).unwrap();
        copy(&whole, &data);
        let target = data.join(path.strip_prefix(&whole).unwrap());
        let mut bytes = fs::read(&target).unwrap();
        // A log file is longer than its content; the zeros after the end matter little.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64) + 1;
        let at = if kind == ".raftlog" && rng.one_in(2) {
            // The part that no snapshot covers is near the end.
            used - 1 - rng.below((used / 20).max(1))
        } else {
            rng.below(used.min(*length))
        };
        let at = usize::try_from(at).unwrap();
        bytes[at] ^= 1 << rng.below(8);
        fs::write(&target, &bytes).unwrap();
        let mut what = format!("{} flipped at {at} of {used}", target.strip_prefix(&data).unwrap().display());
        let tail = kind == ".raftlog";
        // Without the mirror, which is rebuilt, only the log and the snapshot before it are left.
        if matches!(kind.as_str(), ".raftlog" | ".rewrite" | "snapshots/") && !rng.one_in(3) {
            fs::remove_dir_all(data.join("member/mirror")).unwrap();
            what += ", and no mirror";
        }
        let ending = start_on(&mut member, &write_history, &what, tail);
        let count = seen.entry(kind.clone()).or_default();
        if ending == StartOutcome::Started { count.0 += 1 } else { count.1 += 1 }
    }
    eprintln!("flips by kind (started, refused): {seen:?}");
    assert!(seen.len() >= 4, "{seen:?}");
}

#[test]
fn a_missing_or_emptied_file_is_repaired_or_refused_and_never_served() {
    let mut rng = TestRng::from_env("missing");
    let Some((mut member, write_history)) = used_folder(&mut rng) else { return };
    let (whole, data) = (member.path("whole"), member.data());
    copy(&data, &whole);
    let mut seen = BTreeMap::new();
    for (path, length) in files(&whole) {
        if fs::metadata(&path).is_err() || path.to_string_lossy().contains("blobs") && seen.len() > 12 {
            continue;
        }
        for emptied in [false, true] {
            fs::remove_dir_all(&data).unwrap();
            copy(&whole, &data);
            let name = path.strip_prefix(&whole).unwrap();
            let target = data.join(name);
            if emptied {
                fs::write(&target, "").unwrap();
            } else {
                fs::remove_file(&target).unwrap();
            }
            let what = format!("{} {}", name.display(), if emptied { "emptied" } else { "removed" });
            if length > 0 || !emptied {
                let ending = start_on(&mut member, &write_history, &what, false);
                seen.insert(what, ending);
            }
        }
    }
    eprintln!("missing files: {seen:?}");
}

#[test]
fn a_folder_of_another_version_or_program_is_refused() {
    let mut rng = TestRng::from_env("version");
    let Some((mut member, _)) = used_folder(&mut rng) else { return };
    let identity = files(&member.data()).into_iter().find(|(path, _)| path.ends_with("identity"));
    let (identity, _) = identity.expect("an identity file");
    let text = fs::read_to_string(&identity).unwrap();
    eprintln!("identity: {text:?}");
    let newer = text.replacen('1', "9", 1);
    fs::write(&identity, newer).unwrap();
    member.clear_log();
    member.spawn();
    assert_eq!(member.wait(WAIT_TIMEOUT), Some(2), "{}", member.log());
    assert!(member.log().contains("identity"), "{}", member.log());

    // etcd's own folder cannot be read, and must not be changed.
    let mut other = Member::of_ours(&[]).unwrap();
    fs::create_dir_all(other.data().join("member/wal")).unwrap();
    fs::write(other.data().join("member/wal/0000000000000000-0000000000000000.wal"), "x").unwrap();
    other.spawn();
    assert_eq!(other.wait(WAIT_TIMEOUT), Some(2), "{}", other.log());
    assert!(other.log().contains(other.data().to_str().unwrap()), "{}", other.log());
}
