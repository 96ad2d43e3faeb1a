//! `import --snap` of a snapshot of etcd 0.4 that the test creates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::{Dir, Etcd, Retune};

const NEVER: &str = "0001-01-01T00:00:00Z";

fn file(path: &str, value: &str, expires: &str) -> serde_json::Value {
    json!({ "Path": path, "CreatedIndex": 3, "ModifiedIndex": 3, "ExpireTime": expires, "ACL": "", "Value": value,
            "Children": null })
}

fn folder(path: &str, children: &serde_json::Value) -> serde_json::Value {
    json!({ "Path": path, "CreatedIndex": 0, "ModifiedIndex": 0, "ExpireTime": NEVER, "ACL": "", "Value": "",
            "Children": children })
}

/// Returns a snapshot with its checksum.
fn snapshot() -> Vec<u8> {
    let root = folder(
        "/",
        &json!({
            "app": folder("/app", &json!({
                "port": file("/app/port", "80", NEVER),
                "text": file("/app/text", "line\nbreak", NEVER),
                "gone": file("/app/gone", "x", "2014-01-01T00:00:00Z"),
            })),
            "late": file("/late", "y", "2100-01-01T00:00:00.5+02:00"),
            "_etcd": folder("/_etcd", &json!({
                "machines": folder("/_etcd/machines", &json!({ "one": file("/_etcd/machines/one", "m", NEVER) })),
            })),
        }),
    );
    let state = json!({ "Root": root, "WatcherHub": {}, "CurrentIndex": 9, "CurrentVersion": 2 }).to_string();
    let body =
        json!({ "state": STANDARD.encode(state), "lastIndex": 9, "lastTerm": 1, "peers": [], "path": "x" });
    let body = body.to_string();
    format!("{:08x}\n{body}", crc32(body.as_bytes())).into_bytes()
}

/// Computes the CRC-32 of IEEE 802.3 bit by bit, independently of the program's own code.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn the_keys_of_a_snapshot_are_set() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    dir.write_bytes("old.snap", &snapshot());
    let ctl =
        |words: &[&str]| Retune::called(&dir, "etcdctl", &["--endpoints", &etcd.url()]).args(words).run();
    let done = ctl(&["import", "--snap", "old.snap", "-c", "4"]).exits(0).says("copying key: /app/port");
    assert_eq!(
        done.stdout,
        "starting to import snapshot old.snap with 4 clients\nfinished importing 3 keys\n"
    );
    assert_eq!(
        ctl(&["export", "--format", "yaml"]).stdout,
        "app:\n  port: \"80\"\n  text: \"line\\nbreak\"\nlate: \"y\"\n"
    );
    assert!(ctl(&["-o", "json", "get", "/late"]).stdout.contains("\"ttl\":"));
    ctl(&["get", "/_etcd/machines/one"]).exits(4);
    ctl(&["import", "--snap=old.snap", "--hidden", "/_etcd"]).exits(0).prints("finished importing 4 keys");
    assert_eq!(ctl(&["get", "/_etcd/machines/one"]).stdout, "m\n");
}

#[test]
fn a_file_that_is_not_a_snapshot_changes_nothing() {
    let Some(etcd) = Etcd::start() else { return };
    let dir = Dir::new();
    let mut damaged = snapshot();
    let last = damaged.len() - 20;
    damaged[last] ^= 1;
    dir.write_bytes("damaged.snap", &damaged).write("text.snap", "no snapshot at all");
    let ctl =
        |words: &[&str]| Retune::called(&dir, "etcdctl", &["--endpoints", &etcd.url()]).args(words).run();
    ctl(&["import", "--snap", "damaged.snap"]).exits(1).says("its checksum is");
    ctl(&["import", "--snap", "text.snap"]).exits(1).says("cannot decode snapshot file text.snap");
    ctl(&["import", "--snap", "none.snap"]).exits(1).says("cannot read snapshot file none.snap");
    dir.write_bytes("old.snap", &snapshot());
    ctl(&["import", "--snap", "old.snap", "--hidden", "/_nope"]).exits(1).says("nothing was written");
    assert_eq!(ctl(&["ls"]).stdout, "");
}
