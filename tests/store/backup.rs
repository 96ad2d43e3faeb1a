//! Saving a running or a stopped store to a file, and starting a new one from the file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::Value;

use crate::support::http::{get, request};
use crate::support::port::Port;
use crate::support::programs::need_mounts;
use crate::support::retune::FinishedRun;
use crate::support::{Dir, Mount, Retune, Store, WAIT_TIMEOUT, eventually};

const FORM: &str = "application/x-www-form-urlencoded";

fn put(address: &str, key: &str, form: &str) -> Value {
    let answer = request(address, "PUT", &format!("/v2/keys{key}"), Some((FORM, form))).expect("an answer");
    assert!(answer.status < 300, "{key}: {answer:?}");
    serde_json::from_str(&answer.body).expect("JSON")
}

fn value(address: &str, key: &str) -> String {
    let body = get(address, &format!("/v2/keys{key}")).unwrap_or_else(|| panic!("{key} is not there"));
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    answer["node"]["value"].as_str().expect("a value").to_owned()
}

fn backup<'d>(dir: &'d Dir, store: &Store, file: &str) -> Retune<'d> {
    Retune::new(dir, &["store", "backup", "--endpoints", &store.url(), file])
}

fn restore<'d>(dir: &'d Dir, data: &str, file: &str) -> Retune<'d> {
    let cluster = ["--name", "a", "--initial-cluster", "a=http://127.0.0.1:7001"];
    let peer = ["--initial-advertise-peer-urls", "http://127.0.0.1:7001"];
    Retune::new(dir, &["store", "restore", file, "--data-dir", data]).args(&cluster).args(&peer)
}

/// Restores the store from a file and starts it.
fn started_from(dir: &Dir, mut store: Store, file: &str) -> Store {
    store.kill();
    fs::remove_dir_all(store.data_dir()).unwrap();
    restore(dir, &store.data_dir().to_string_lossy(), file).run().exits(0).prints("restored ");
    store.start_again();
    let address = store.address();
    eventually("it leads", WAIT_TIMEOUT, || get(&address, "/health").is_some());
    store
}

#[test]
fn each_backup_has_every_earlier_acknowledged_write_and_no_partial_one() {
    let (dir, store) = (Dir::new(), Store::start());
    let address = store.address();
    let (over, done) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 3]);
    let before = thread::scope(|scope| {
        for (number, done) in done.iter().enumerate() {
            let (address, over) = (&address, &over);
            scope.spawn(move || {
                for round in 1.. {
                    // The second is never ahead of the first.
                    put(address, &format!("/first/{number}"), &format!("value={round}"));
                    put(address, &format!("/second/{number}"), &format!("value={round}"));
                    done.store(round, Ordering::SeqCst);
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                }
            });
        }
        let all_wrote = || done.iter().all(|done| done.load(Ordering::SeqCst) > 20);
        eventually("writes", WAIT_TIMEOUT, all_wrote);
        let before = done.each_ref().map(|done| done.load(Ordering::SeqCst));
        let mut backups = ["one", "two", "three"].map(|file| backup(&dir, &store, file).spawn());
        let codes = backups.each_mut().map(|running| running.wait_exit(WAIT_TIMEOUT));
        let after = done.each_ref().map(|done| done.load(Ordering::SeqCst));
        over.store(true, Ordering::SeqCst);
        assert_eq!(codes, [Some(0); 3], "{}", backups.each_ref().map(|running| running.log()).concat());
        assert!(after.iter().zip(before).all(|(after, before)| *after > before), "writes were held up");
        before
    });
    let mut store = store;
    for file in ["one", "two", "three"] {
        let mode = fs::metadata(dir.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        store = started_from(&dir, store, file);
        for (number, before) in before.iter().enumerate() {
            let [first, second] = ["first", "second"].map(|name| {
                value(&store.address(), &format!("/{name}/{number}")).parse::<u64>().expect("a number")
            });
            assert!(
                second >= *before && (first == second || first == second + 1),
                "{before} {first} {second}"
            );
        }
        put(&store.address(), "/new", "value=taken");
    }
}

#[test]
fn leases_history_and_index_continue_in_a_restored_store() {
    let (dir, store) = (Dir::new(), Store::start());
    let address = store.address();
    put(&address, "/plain", "value=%00%01raw");
    put(&address, "/short", "value=x&ttl=6");
    put(&address, "/empty", "dir=true");
    let marked = put(&address, "/long", "value=x&ttl=5000");
    let expiration = marked["node"]["expiration"].clone();
    let index = marked["node"]["modifiedIndex"].as_u64().unwrap();
    backup(&dir, &store, "saved").run().exits(0).prints("saved everything up to index ");
    let store = started_from(&dir, store, "saved");
    let address = store.address();
    assert_eq!(value(&address, "/plain"), "\0\u{1}raw");
    let body = get(&address, "/v2/keys/long").unwrap();
    let node: Value = serde_json::from_str::<Value>(&body).unwrap()["node"].clone();
    assert_eq!((&node["expiration"], node["modifiedIndex"].as_u64()), (&expiration, Some(index)));
    assert!(get(&address, "/v2/keys/empty").is_some());
    let past = get(&address, &format!("/v2/keys/long?wait=true&waitIndex={index}")).expect("from history");
    assert!(past.contains("5000"), "{past}");
    assert!(put(&address, "/next", "value=x")["node"]["modifiedIndex"].as_u64() > Some(index));
    eventually("the short one expires", WAIT_TIMEOUT, || get(&address, "/v2/keys/short").is_none());
}

#[test]
fn the_folder_of_a_stopped_member_can_be_saved_and_that_of_a_running_one_cannot() {
    let (dir, mut store) = (Dir::new(), Store::start());
    put(&store.address(), "/k", "value=v");
    let data = store.data_dir().to_string_lossy().into_owned();
    let save = || Retune::new(&dir, &["store", "backup", "--data-dir", &data, "saved"]).run();
    save().exits(2).says("is in use by process");
    assert!(!dir.path("saved").exists() && !dir.path("saved.partial").exists());
    store.kill();
    save().exits(0).prints("saved 1 keys");
    save().exits(2).says("--force");
    store.start_again();
    let store = started_from(&dir, store, "saved");
    assert_eq!(value(&store.address(), "/k"), "v");
}

#[test]
fn a_damaged_file_and_a_nonempty_folder_are_refused() {
    let (dir, store) = (Dir::new(), Store::start());
    put(&store.address(), "/k", "value=v");
    backup(&dir, &store, "saved").run().exits(0);
    backup(&dir, &store, "saved").run().exits(2).says("it already exists");
    backup(&dir, &store, "saved").args(&["--force"]).run().exits(0);
    let whole = fs::read(dir.path("saved")).unwrap();
    let to = dir.text_path("restored");
    for at in [0, 17, 40, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        dir.write_bytes("damaged", &bytes);
        let refused = restore(&dir, &to, "damaged").run().exits(2);
        refused.says(if at == 0 { "not a backup" } else { "checksum" });
    }
    for length in [0, 10, 20, 30, whole.len() - 1] {
        dir.write_bytes("damaged", &whole[..length]);
        restore(&dir, &to, "damaged").run().exits(2);
    }
    assert!(!dir.path("restored").exists(), "nothing is made of a damaged file");
    restore(&dir, &to, "saved").run().exits(0).prints("restored 1 keys");
    restore(&dir, &to, "saved").run().exits(2).says("it holds something already");
}

#[test]
fn another_server_or_none_is_reported() {
    let dir = Dir::new();
    let nobody = ["store", "backup", "--endpoints", "http://127.0.0.1:1", "saved"];
    Retune::new(&dir, &nobody).run().exits(2).says("http://127.0.0.1:1");
    if let Some(etcd) = crate::support::Etcd::start() {
        let etcds = ["store", "backup", "--endpoints", &etcd.url(), "saved"];
        Retune::new(&dir, &etcds).run().exits(2).says("404");
    }
    assert!(!dir.path("saved").exists() && !dir.path("saved.partial").exists());
}

/// Makes a fresh volume: `lost+found`, as in a new ext4, and other files that a volume may contain.
fn fresh_volume(dir: &Dir, name: &str) -> String {
    fs::create_dir_all(dir.path(name).join("lost+found")).unwrap();
    dir.write(&format!("{name}/README"), "this volume is backed up at night");
    dir.text_path(name)
}

#[test]
fn the_first_start_and_a_restore_accept_the_same_fresh_volumes() {
    let (dir, store) = (Dir::new(), Store::start());
    put(&store.address(), "/k", "value=v");
    backup(&dir, &store, "saved").run().exits(0);
    let (started, restored) = (fresh_volume(&dir, "started"), fresh_volume(&dir, "restored"));
    let port = Port::claim();
    let url = format!("http://{}", port.address());
    let words = ["store", "--listen-client-urls", &url, "--advertise-client-urls", &url, "--data-dir"];
    let serves = |data: &str, words: &[&str]| {
        let daemon = Retune::new(&dir, words).args(&[data]).spawn();
        eventually("it serves", WAIT_TIMEOUT, || get(&port.address(), "/health").is_some());
        daemon.terminate();
    };
    serves(&started, &words);
    restore(&dir, &restored, "saved").run().exits(0).prints("restored 1 keys");
    let peer = ["--name", "a", "--initial-cluster", "a=http://127.0.0.1:7001"];
    serves(&restored, &[&peer_words(&peer)[..], &words[1..]].concat());
    // Neither start nor restore may use a folder that holds a member.
    for data in [&started, &restored] {
        restore(&dir, data, "saved").run().exits(2).says("it holds something already");
        assert!(fs::metadata(dir.path(data).join("lost+found")).is_ok());
    }
}

fn peer_words<'w>(more: &[&'w str]) -> Vec<&'w str> {
    let own = ["store", "--initial-advertise-peer-urls", "http://127.0.0.1:7001"];
    own.iter().chain(more).copied().collect()
}

/// Fails unless it was refused with one error that names the cause once, and nothing was left behind.
#[track_caller]
fn refused(done: &FinishedRun, to: &Path, cause: &str) {
    let errors = done.stderr.lines().filter(|line| line.contains(" ERROR ")).count();
    assert_eq!(
        (done.code, errors, done.stderr.matches(cause).count()),
        (2, 1, 1),
        "{cause}: {}",
        done.stderr
    );
    let left: Vec<_> =
        fs::read_dir(to).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| name == "lost+found"), "{cause}: {left:?} is left");
}

#[test]
fn any_obstacle_to_a_restore_is_reported_once_and_nothing_is_left() {
    let (dir, store) = (Dir::new(), Store::start());
    for number in 0..8 {
        put(&store.address(), &format!("/k/{number}"), &format!("value={}", "v".repeat(50_000)));
    }
    backup(&dir, &store, "saved").run().exits(0);
    let whole = fs::read(dir.path("saved")).unwrap();
    dir.write_bytes("cut", &whole[..whole.len() - 100]).write_bytes("stub", &whole[..9]).write("empty", "");
    // The snapshot inside, the first page of etcd's v3 database, a document of keys, and any text.
    dir.write_bytes("snapshot", &whole[24..whole.len() - 4]);
    dir.write_bytes("bolt", &[&[0; 16][..], &[0xED, 0xDA, 0x0C, 0xED], &[0; 100]].concat());
    dir.write("keys", "{\"/a\": 1}").write("text", "hello").write("plain", "");
    fs::create_dir(dir.path("folder")).unwrap();
    let to = dir.path("to");
    for (file, cause) in [
        ("missing", "No such file or directory (ENOENT)"),
        ("folder", "Is a directory (EISDIR)"),
        ("/dev/zero", "a device, a pipe or a socket"),
        ("empty", "it is empty"),
        ("stub", "it is cut off"),
        ("cut", "its checksum does not match"),
        ("snapshot", "a snapshot from a member's data folder"),
        ("keys", "looks like a document of keys"),
        ("bolt", "a snapshot of etcd's v3 keys"),
        ("text", "it is not a backup"),
    ] {
        refused(&restore(&dir, to.to_str().unwrap(), file).run(), &to, cause);
        assert!(!to.exists(), "{file}: nothing is made");
    }
    let below_a_file = dir.path("plain/to");
    let done = restore(&dir, below_a_file.to_str().unwrap(), "saved").run();
    refused(&done, &below_a_file, "Not a directory (ENOTDIR)");
    refuses_a_bad_disk(&dir, &to);
}

/// A folder without permission, a read-only disk and a full one are refused.
fn refuses_a_bad_disk(dir: &Dir, to: &Path) {
    if !need_mounts() {
        return;
    }
    fs::create_dir_all(to.join("lost+found")).unwrap();
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_retune")];
    let words = ["store", "restore", "saved", "--name", "a", "--initial-cluster", "a=http://127.0.0.1:7001"];
    let peer = ["--initial-advertise-peer-urls", "http://127.0.0.1:7001", "--data-dir"];
    let done = Command::new("setpriv")
        .args(nobody)
        .args(words)
        .args(peer)
        .arg(to)
        .current_dir(dir.path(""))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stderr);
    let errors = text.lines().filter(|line| line.contains(" ERROR ")).count();
    assert_eq!((done.status.code(), errors), (Some(2), 1), "{text}");
    assert_eq!(text.matches("Permission denied (EACCES)").count(), 1, "{text}");
    for (size, cause) in
        [("1m", "Read-only file system (EROFS)"), ("200k", "No space left on device (ENOSPC)")]
    {
        let disk = Mount::tmpfs(size, to);
        if size == "1m" {
            disk.read_only();
        }
        refused(&restore(dir, to.to_str().unwrap(), "saved").run(), to, cause);
    }
    // With room for the snapshot, but not for the log after it.
    let _disk = Mount::tmpfs("440k", to);
    refused(&restore(dir, to.to_str().unwrap(), "saved").run(), to, "No space left on device (ENOSPC)");
    assert!(to.exists());
}
