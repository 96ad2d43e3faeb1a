//! Killed at any moment, restarted on the same folder, for many rounds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::member::{Member, copy};
use super::wire::Wire;
use super::write_history::{Event, Observed, WriteHistory};
use super::{budget, rounds, writers};
use crate::support::rng::TestRng;

const WRITERS: usize = 5;
/// The number of watches of the past in a round.
const PAST_WATCHES: usize = 5;
/// How many events every store keeps; a few more may have been added since.
const KEPT_EVENTS: u64 = 900;
/// An event with more bytes of values may be cleared by a restart. Then watches of its key get an error, and no
/// others.
const LARGE: usize = 128 << 10;

/// With small numbers snapshots are written and the log truncated all the time, with the large one never.
const SNAPSHOT_COUNTS: [&str; 3] = ["10", "100", "100000"];

/// Runs one round of load that ends with a kill.
fn round(member: &mut Member, write_history: &mut WriteHistory, rng: &mut TestRng, number: u64) {
    let address = member.address();
    let span = Duration::from_millis(20 + rng.below(230));
    let mut own = rng.split();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| writers::work(&address, write_history, &mut own, number, &|| false));
        std::thread::sleep(span);
        member.kill();
        load.join().unwrap();
    });
    // A kill may also hit the start-up.
    while rng.one_in(4) {
        member.spawn();
        std::thread::sleep(Duration::from_millis(rng.below(120)));
        member.kill();
    }
}

/// Reads the state and fails on anything impossible.
#[track_caller]
fn verify(member: &Member, write_history: &WriteHistory, events: &[Event], rng: &mut TestRng) -> Observed {
    let mut wire = member.wire();
    let observed = writers::observe(&mut wire).unwrap();
    let mut wrong = write_history.check(&observed);
    for _ in 0..PAST_WATCHES.min(events.len()) {
        let event = &events[rng.index(events.len())];
        if event.node.modified + KEPT_EVENTS > observed.index {
            wrong.extend(history_error(&mut wire, event));
        }
    }
    assert!(wrong.is_empty(), "{}\n--- log\n{}", wrong.join("\n"), member.log_tail());
    observed
}

/// Returns what is wrong with the history of an acknowledged write.
fn history_error(wire: &mut Wire, event: &Event) -> Option<String> {
    let path = format!("/v2/keys{}?wait=true&waitIndex={}", event.key, event.node.modified);
    let answer = match wire.get(&path) {
        Ok(answer) => answer,
        Err(error) => return Some(format!("{path}: {error}")),
    };
    let cleared = answer.code() == 401 && event.weight > LARGE;
    let same = Event::of(&answer.json()) == *event;
    (!same && !cleared)
        .then(|| format!("{path}: acknowledged was {event:?}, remembered is {}", answer.text()))
}

#[test]
fn kills_lose_no_acknowledged_write() {
    let mut rng = TestRng::from_env("kill9");
    let Some(mut member) = Member::new(&[]) else { return };
    let mut write_history = writers::write_history(WRITERS);
    let (most, span, begun) = (rounds("RETUNE_TEST_KILLS", 200), budget(240), Instant::now());
    member.start();
    let (mut done, mut acknowledged) = (0_u32, 0_usize);
    while done < most && begun.elapsed() < span {
        round(&mut member, &mut write_history, &mut rng, u64::from(done));
        member.clear_log();
        member.set_flags(&["--snapshot-count", SNAPSHOT_COUNTS[rng.index(3)]]);
        member.start();
        let events: Vec<Event> =
            write_history.write_logs.iter().flat_map(|write_log| write_log.events.clone()).collect();
        acknowledged += events.len();
        let observed = verify(&member, &write_history, &events, &mut rng);
        write_history.settle(&observed);
        if observed.files.len() > 3000 {
            remove_in_order_keys(&mut member.wire(), &mut write_history);
        }
        done += 1;
    }
    eprintln!("kill9: {done} kills, {acknowledged} acknowledged writes, all there");
    assert!(u64::from(done) >= u64::from(most).min(span.as_secs() / 4), "only {done} rounds in {span:?}");
    assert!(acknowledged > done as usize * 5, "hardly a write got through: {acknowledged}");
}

/// Removes the in-order keys: each round reads a complete listing.
fn remove_in_order_keys(wire: &mut Wire, write_history: &mut WriteHistory) {
    for number in 0..WRITERS {
        let answer = wire.request("DELETE", &format!("/v2/keys/q{number}?recursive=true"), None).unwrap();
        assert!(matches!(answer.status, 200 | 404), "{}", answer.text());
    }
    let observed = writers::observe(wire).unwrap();
    write_history.settle(&observed);
}

/// Work without a kill, then an older copy of the folder: the checker must find the loss.
#[test]
fn an_older_copy_of_the_folder_is_detected() {
    let mut rng = TestRng::from_env("older_copy");
    let Some(mut member) = Member::new(&[]) else { return };
    let mut write_history = writers::write_history(WRITERS);
    member.start();
    let address = member.address();
    for number in 0..2 {
        let enough = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                writers::work(&address, &mut write_history, &mut rng, number, &|| {
                    enough.load(Ordering::Relaxed)
                });
            });
            std::thread::sleep(Duration::from_millis(300));
            enough.store(true, Ordering::Relaxed);
            load.join().unwrap();
        });
        member.kill();
        if number == 0 {
            copy(&member.data(), &member.path("older"));
        }
        member.start();
        let observed = writers::observe(&mut member.wire()).unwrap();
        assert_eq!(write_history.check(&observed), Vec::<String>::new(), "nothing is lost so far");
        write_history.settle(&observed);
    }
    member.kill();
    std::fs::rename(member.data(), member.path("newer")).unwrap();
    std::fs::rename(member.path("older"), member.data()).unwrap();
    member.start();
    let wrong = write_history.check(&writers::observe(&mut member.wire()).unwrap()).join("\n");
    assert!(wrong.contains("the index went back"), "{wrong}");
    assert!(wrong.contains("was acknowledged as"), "{wrong}");
}
