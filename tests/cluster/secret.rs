//! Members that share a secret, with the whole program.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::group::{AGREE_TIMEOUT, Plan};
use crate::durable::member::Program;
use crate::support::{Dir, eventually};

/// Writes a secret; returns the file's path.
fn secret(dir: &Dir, name: &str, text: &str) -> String {
    let path = dir.text_path(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn members_with_one_secret_work_and_one_without_it_is_refused_until_it_has_it() {
    let dir = Dir::new();
    let (right, wrong) =
        (secret(&dir, "right", "the secret of members\n"), secret(&dir, "wrong", &"x".repeat(32)));
    let Some(plan) = Plan::new(3).filter(|plan| plan.program == Program::Retune) else { return };
    let mut group = plan.with(&["--peer-secret-file", &right]).on_local_ports();
    group.start();
    group.put_until_accepted(0, "/a", "1");
    let words = group.plan.words.clone();
    let good: Vec<&str> = words.iter().map(String::as_str).collect();
    for (flags, says) in [
        (good[..good.len() - 2].to_vec(), " has none: give all members the same"),
        ([&good[..good.len() - 1], &[wrong.as_str()]].concat(), "holds another secret than that of member"),
    ] {
        group.members[2].kill();
        group.members[2].clear_log();
        group.members[0].clear_log();
        group.members[2].set_flags(&flags);
        group.members[2].spawn();
        eventually("both sides say why", AGREE_TIMEOUT, || {
            [0, 2].iter().all(|number| group.members[*number].log().contains(says))
        });
        group.put_until_accepted(0, "/b", says);
        std::thread::sleep(Duration::from_millis(300));
        let heard = group.value(2, "/b");
        assert_ne!(heard.as_deref(), Some(says), "a member without the secret got a write");
    }
    group.members[2].kill();
    group.members[2].set_flags(&good);
    group.members[2].spawn();
    group.until_serving();
    group.level();
    for number in 0..3 {
        assert!(!group.members[number].log().contains("the secret of members"), "the secret is in the log");
    }
}
