//! Runs the same command lines through Debian's etcdctl and through ours, each with its own store: stdout, stderr, exit
//! code and the resulting tree must be the same.

use super::cases::{CaseLine, cases};
use super::normalize::{normalize, tree};
use super::pair::{Outcome, Side, StoreKind, WATCH_START_DELAY};
use crate::support::Dir;

/// Returns only the lines above the help: in the help, ours lists commands that theirs lacks.
fn above_help(outcome: Outcome) -> Outcome {
    let end = outcome.stdout.find("NAME:").unwrap_or(outcome.stdout.len());
    Outcome { stdout: outcome.stdout[..end].to_owned(), ..outcome }
}

/// Returns the first difference.
fn difference(line: &CaseLine, theirs: &Outcome, ours: &Outcome) -> Option<String> {
    (theirs != ours).then(|| format!("{:?}\n--- etcdctl\n{theirs:#?}\n--- ours\n{ours:#?}\n", line.words))
}

/// Runs one line on both sides. A command that only an interrupt ends may have had too little time on a busy machine;
/// it changes nothing, so it is tried again with more.
fn run_both(dir: &Dir, theirs: &Side, ours: &Side, line: &CaseLine) -> Option<String> {
    let mut line = line.clone();
    // With almost no time, etcdctl's own output varies.
    let mut again = if line.words.contains(&"1ns") { 20 } else { 0 };
    loop {
        let run = |side: &Side| {
            let outcome = normalize(&side.run(dir, &line), &side.server, &line);
            if line.page { above_help(outcome) } else { outcome }
        };
        let found = difference(&line, &run(theirs), &run(ours));
        match line.interrupt {
            Some(after) if found.is_some() && after < 20 * WATCH_START_DELAY => {
                line.interrupt = Some(4 * after);
            }
            _ if found.is_some() && again > 0 => again -= 1,
            _ => return found,
        }
    }
}

/// Reports every line of a case after which the two differ.
fn assert_same(kind: StoreKind, name: &str) {
    let dir = Dir::new();
    let ours = Side::ours(&dir, kind);
    assert_same_between(&dir, ours, name);
}

/// The output of `other` on every line of a case, and its effect, must be those of etcdctl with a real etcd.
fn assert_same_between(dir: &Dir, other: Option<Side>, name: &str) {
    let (Some(theirs), Some(ours)) = (Side::theirs(StoreKind::Etcd), other) else { return };
    let case = cases().into_iter().find(|(own, _)| *own == name).expect("a case of this name").1;
    let mut wrong = Vec::new();
    for line in &case {
        wrong.extend(run_both(dir, &theirs, &ours, line));
        let (left, right) = (tree(&theirs.server, &["/_hidden"]), tree(&ours.server, &["/_hidden"]));
        if left != right {
            wrong.push(format!("the trees differ after {:?}\n{left}\n{right}", line.words));
            break;
        }
    }
    assert!(wrong.is_empty(), "{} of {} lines differ:\n{}", wrong.len(), case.len(), wrong.join("\n"));
}

#[test]
fn files_are_the_same() {
    assert_same(StoreKind::Etcd, "files");
}

#[test]
fn directories_are_the_same() {
    assert_same(StoreKind::Etcd, "directories");
}

#[test]
fn removing_is_the_same() {
    assert_same(StoreKind::Etcd, "removing");
}

#[test]
fn conditions_are_the_same() {
    assert_same(StoreKind::Etcd, "conditions");
}

#[test]
fn unusual_values_are_the_same() {
    assert_same(StoreKind::Etcd, "odd values");
}

#[test]
fn watching_is_the_same() {
    assert_same(StoreKind::Etcd, "watching");
}

#[test]
fn options_are_the_same() {
    assert_same(StoreKind::Etcd, "options");
}

#[test]
fn help_is_the_same() {
    assert_same(StoreKind::Etcd, "help");
}

#[test]
fn endpoints_are_the_same() {
    assert_same(StoreKind::Etcd, "places");
}

#[test]
fn members_are_the_same() {
    assert_same(StoreKind::Etcd, "members");
}

#[test]
fn users_and_roles_are_the_same() {
    assert_same(StoreKind::Etcd, "users and roles");
}

#[test]
fn authentication_is_the_same() {
    assert_same(StoreKind::Etcd, "authentication");
}

#[test]
fn a_lost_quorum_is_reported_the_same() {
    assert_same(StoreKind::Etcd, "without a quorum");
}

/// Our etcdctl with our own store, against Debian's with etcd.
mod with_our_store {
    use super::*;

    #[test]
    fn files_are_the_same() {
        assert_same(StoreKind::Store, "files");
    }

    #[test]
    fn directories_are_the_same() {
        assert_same(StoreKind::Store, "directories");
    }

    #[test]
    fn removing_is_the_same() {
        assert_same(StoreKind::Store, "removing");
    }

    #[test]
    fn conditions_are_the_same() {
        assert_same(StoreKind::Store, "conditions");
    }

    #[test]
    fn unusual_values_are_the_same() {
        assert_same(StoreKind::Store, "odd values");
    }

    #[test]
    fn watching_is_the_same() {
        assert_same(StoreKind::Store, "watching");
    }

    #[test]
    fn endpoints_are_the_same() {
        assert_same(StoreKind::Store, "places");
    }

    #[test]
    fn members_are_the_same() {
        assert_same(StoreKind::Store, "members");
    }

    #[test]
    fn users_and_roles_are_the_same() {
        assert_same(StoreKind::Store, "users and roles");
    }

    #[test]
    fn authentication_is_the_same() {
        assert_same(StoreKind::Store, "authentication");
    }
}

#[test]
fn there_are_enough_command_lines() {
    assert!(cases().iter().map(|(_, lines)| lines.len()).sum::<usize>() > 300);
}

#[test]
fn a_difference_is_detected() {
    let line = &cases()[0].1[0];
    let outcome = Outcome { stdout: "1\n".into(), stderr: String::new(), code: 0 };
    assert_eq!(difference(line, &outcome, &outcome.clone()), None);
    for other in [
        Outcome { stdout: "1".into(), ..outcome.clone() },
        Outcome { stderr: "x".into(), ..outcome.clone() },
        Outcome { code: 4, ..outcome.clone() },
    ] {
        assert!(difference(line, &outcome, &other).is_some(), "{other:?}");
    }
}

#[test]
fn a_differing_tree_is_detected() {
    let dir = Dir::new();
    let (Some(one), Some(other)) = (Side::ours(&dir, StoreKind::Etcd), Side::ours(&dir, StoreKind::Etcd))
    else {
        return;
    };
    assert_eq!(tree(&one.server, &[]), tree(&other.server, &[]));
    let line = &cases()[0].1[0];
    one.run(&dir, line);
    assert_ne!(tree(&one.server, &[]), tree(&other.server, &[]));
    other.run(&dir, line);
    assert_eq!(tree(&one.server, &[]), tree(&other.server, &[]));
}

/// Debian's etcdctl with our own store, against itself with etcd.
mod etcdctl_with_our_store {
    use super::*;

    fn assert_same_store(name: &str) {
        assert_same_between(&Dir::new(), Side::theirs(StoreKind::Store), name);
    }

    #[test]
    fn files_are_the_same() {
        assert_same_store("files");
    }

    #[test]
    fn directories_are_the_same() {
        assert_same_store("directories");
    }

    #[test]
    fn removing_is_the_same() {
        assert_same_store("removing");
    }

    #[test]
    fn conditions_are_the_same() {
        assert_same_store("conditions");
    }

    #[test]
    fn unusual_values_are_the_same() {
        assert_same_store("odd values");
    }

    #[test]
    fn watching_is_the_same() {
        assert_same_store("watching");
    }

    #[test]
    fn endpoints_are_the_same() {
        assert_same_store("places");
    }

    #[test]
    fn members_are_the_same() {
        assert_same_store("members");
    }

    #[test]
    fn users_and_roles_are_the_same() {
        assert_same_store("users and roles");
    }

    #[test]
    fn authentication_is_the_same() {
        assert_same_store("authentication");
    }
}
