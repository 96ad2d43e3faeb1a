//! Damaged folders, foreign ones, and those in use.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

async fn filled(folder: &TempDir) -> u64 {
    let node = Running::start(settings(folder.path())).await.unwrap();
    for n in 0..60 {
        node.set(&format!("/k{n}"), format!("value {n}").as_bytes()).await;
    }
    let index = node.index();
    node.stop().await;
    index
}

fn newest_log_file(folder: &TempDir) -> PathBuf {
    let files = fs::read_dir(folder.path().join("member/log")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "raftlog")).max().unwrap()
}

/// Returns the offset of a value's bytes in a file.
fn find(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).rposition(|window| window == text.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_flipped_bit_in_the_middle_of_the_log_is_refused_and_nothing_is_cut() {
    let folder = TempDir::new().unwrap();
    filled(&folder).await;
    let path = newest_log_file(&folder);
    let mut bytes = fs::read(&path).unwrap();
    // A length in the header of the batch with the value: what follows cannot be read.
    let at = find(&bytes, "value 20");
    let start = bytes[..at].windows(4).rposition(|window| window == [0, 0, 0, 0]).unwrap();
    bytes[start + 6] ^= 0x40;
    fs::write(&path, &bytes).unwrap();
    fs::remove_dir_all(folder.path().join("member/mirror")).unwrap();
    match Running::start(settings(folder.path())).await {
        Ok(_) => panic!("it started"),
        Err(error) => assert!(error.to_string().contains("damaged"), "{error}"),
    }
    assert_eq!(fs::read(&path).unwrap(), bytes, "the file is as it was");
}

#[tokio::test]
async fn a_torn_tail_of_the_log_is_cut_off() {
    let folder = TempDir::new().unwrap();
    filled(&folder).await;
    let path = newest_log_file(&folder);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(end);
    bytes.extend([0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 5, 5, 5]);
    fs::write(&path, &bytes).unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    assert!(node.value("/k59").is_some());
    node.set("/after", b"x").await;
    node.stop().await;
    let node = Running::start(settings(folder.path())).await.unwrap();
    assert!(node.value("/after").is_some());
    node.stop().await;
}

#[tokio::test]
async fn a_corrupted_mirror_is_moved_aside_and_rebuilt() {
    let folder = TempDir::new().unwrap();
    filled(&folder).await;
    let db = folder.path().join("member/mirror/db");
    let mut bytes = fs::read(&db).unwrap();
    for byte in bytes.iter_mut().skip(10).step_by(97) {
        *byte ^= 0x55;
    }
    fs::write(&db, bytes).unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    assert_eq!(node.value("/k59").as_deref(), Some(b"value 59".as_slice()));
    node.stop().await;
    assert!(folder.path().join("member/mirror.damaged").exists());
}

#[tokio::test]
async fn an_older_mirror_is_brought_up_to_date() {
    let folder = TempDir::new().unwrap();
    filled(&folder).await;
    let older = TempDir::new().unwrap();
    copy(&folder.path().join("member/mirror"), &older.path().join("mirror"));
    let node = Running::start(settings(folder.path())).await.unwrap();
    node.set("/later", b"x").await;
    node.stop().await;
    fs::remove_dir_all(folder.path().join("member/mirror")).unwrap();
    copy(&older.path().join("mirror"), &folder.path().join("member/mirror"));
    let node = Running::start(settings(folder.path())).await.unwrap();
    assert!(node.value("/later").is_some());
    node.stop().await;
}

#[tokio::test]
async fn a_folder_in_use_is_refused_with_the_process_id() {
    let folder = TempDir::new().unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    let error = RaftNode::open(settings(folder.path()), None).err().unwrap().to_string();
    assert!(error.contains(&format!("in use by process {}", std::process::id())), "{error}");
    node.stop().await;
}

#[tokio::test]
async fn a_folder_of_etcd_is_refused() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("member/wal")).unwrap();
    let error = RaftNode::open(settings(folder.path()), None).err().unwrap().to_string();
    assert!(error.contains("etcd's own"), "{error}");
}

#[tokio::test]
async fn a_lost_identity_is_not_invented() {
    let folder = TempDir::new().unwrap();
    filled(&folder).await;
    fs::remove_file(folder.path().join("member/identity")).unwrap();
    let error = RaftNode::open(settings(folder.path()), None).err().unwrap().to_string();
    assert!(error.contains("it is missing although"), "{error}");
}

#[tokio::test]
async fn an_initialization_cut_off_by_a_crash_is_repeated() {
    let folder = TempDir::new().unwrap();
    // The identity comes first, the log after it.
    let node = Running::start(settings(folder.path())).await.unwrap();
    node.stop().await;
    let identity = folder.path().join("member/identity");
    let text = fs::read_to_string(&identity).unwrap().replace("state member", "state new");
    let body = &text[..text.find("check").unwrap()];
    fs::write(&identity, format!("{body}check {:08x}\n", crc32fast::hash(body.as_bytes()))).unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    node.handle.read_index().await.unwrap();
    assert_eq!(node.set("/a", b"1").await.index(), 4);
    node.stop().await;
}

#[tokio::test]
async fn an_uninitialized_log_file_does_not_affect_the_one_in_use() {
    let folder = TempDir::new().unwrap();
    filled(&folder).await;
    let in_use = newest_log_file(&folder);
    // As after a full disk: a new file without a header, and reserved space at the end of the current one.
    let number: u64 = in_use.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let unborn = in_use.with_file_name(format!("{:016}.raftlog", number + 1));
    fs::write(&unborn, b"").unwrap();
    let mut bytes = fs::read(&in_use).unwrap();
    bytes.resize(bytes.len() + 4096, 0);
    fs::write(&in_use, bytes).unwrap();
    let node = Running::start(settings(folder.path())).await.unwrap();
    assert!(node.value("/k59").is_some());
    node.stop().await;
    assert!(!unborn.exists());
}

#[tokio::test]
async fn snapshots_without_an_identity_are_not_a_new_store() {
    let (folder, target) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    filled(&folder).await;
    super::super::copy(folder.path(), target.path()).unwrap();
    fs::remove_file(target.path().join("member/identity")).unwrap();
    let error = RaftNode::open(settings(target.path()), None).err().unwrap().to_string();
    assert!(error.contains("it is missing although"), "{error}");
}

#[tokio::test]
async fn a_mirror_that_cannot_be_created_is_created_later() {
    let folder = TempDir::new().unwrap();
    let mirror = folder.path().join("member/mirror");
    fs::create_dir_all(folder.path().join("member")).unwrap();
    let node = RaftNode::open(settings(folder.path()), None).unwrap();
    // Not a folder, so that neither removing nor creating it works.
    fs::write(&mirror, b"in the way").unwrap();
    let node = Running::of(node).await;
    node.set("/a", b"1").await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    fs::remove_file(&mirror).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !mirror.join("db").exists() {
        assert!(tokio::time::Instant::now() < deadline, "it is never made");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    node.stop().await;
}
