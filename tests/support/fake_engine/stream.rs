//! A subscriber's event stream.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::faults::{Faults, Since};
use super::shape;
use super::state::PastEvent;
use super::wire::{Answer, Connection, Request, begin_pieces, end_pieces, piece};
use super::{Dialect, Shared};

/// The events that a subscriber wants.
#[derive(Default)]
struct Filter {
    types: BTreeSet<String>,
    actions: BTreeSet<String>,
}

impl Filter {
    /// Parses `{"type":["container"]}`, or the older `{"type":{"container":true}}`.
    fn read(text: &str) -> Option<Self> {
        let Ok(Value::Object(mut asked)) = serde_json::from_str(text) else { return None };
        let mut words = |name: &str| match asked.remove(name) {
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::Object(all)) => all.keys().cloned().collect(),
            _ => BTreeSet::new(),
        };
        let filter = Self { types: words("type"), actions: words("event") };
        asked.is_empty().then_some(filter)
    }

    fn matches_event(&self, event: &PastEvent) -> bool {
        // As in the daemon: that word makes all of them prefixes.
        let prefixes = self.actions.contains("health_status");
        let named =
            |word: &String| *word == event.action || (prefixes && event.action.starts_with(word.as_str()));
        (self.types.is_empty() || self.types.contains(event.of))
            && (self.actions.is_empty() || self.actions.iter().any(named))
    }
}

/// Parses `1700000000.123456789` to nanoseconds.
fn parse_timestamp(text: &str) -> Option<i64> {
    let (seconds, rest) = text.split_once('.').unwrap_or((text, "0"));
    let rest: i64 = format!("{rest:0<9}").get(..9)?.parse().ok()?;
    Some(seconds.parse::<i64>().ok()?.saturating_mul(1_000_000_000).saturating_add(rest))
}

/// Events on their way to a subscriber, ordered by arrival time, then by sending.
#[derive(Default)]
struct DelayedEvents {
    due: BTreeMap<(Instant, u64), PastEvent>,
    sent: u64,
}

impl DelayedEvents {
    fn send(&mut self, shared: &Shared, event: &PastEvent) {
        let faults = shared.faults();
        let rng = &mut shared.state().rng;
        if faults.silent || rng.below(100) < faults.lost {
            return;
        }
        let times = if rng.below(100) < faults.doubled { 2 } else { 1 };
        for _ in 0..times {
            let jitter = faults.jitter.mul_f64(rng.below(1000) as f64 / 1000.0);
            self.sent += 1;
            self.due.insert((Instant::now() + faults.late + jitter, self.sent), event.clone());
        }
    }

    fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(due, _)| *due)
    }
}

/// Sends events until the client, a cut or `until` ends it.
pub(super) async fn events(
    shared: &Shared,
    connection: &mut Connection,
    request: &Request,
) -> io::Result<()> {
    let text = |name: &str| request.query.get(name).map_or("", String::as_str);
    let filter = match text("filters") {
        "" => Filter::default(),
        asked => match Filter::read(asked) {
            Some(filter) => filter,
            None => return Answer::message(400, "invalid filter").write(connection, false, false).await,
        },
    };
    let (since, until) = (parse_timestamp(text("since")), parse_timestamp(text("until")));
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Answer::message(400, "`since` is after `until`").write(connection, false, false).await;
    }
    let mut cuts = shared.cuts.subscribe();
    let (mut way, mut live, ends) = {
        let state = shared.state();
        let after = |event: &&PastEvent| match shared.faults.borrow().since {
            Since::Everything => true,
            Since::Nothing => false,
            Since::Honest if shared.dialect == Dialect::Podman => since.is_some_and(|since| event.at > since),
            Since::Honest => since.is_some_and(|since| event.at >= since),
        };
        let wanted =
            |event: &&PastEvent| until.is_none_or(|until| event.at <= until) && filter.matches_event(event);
        let replayed: Vec<_> = state.log.iter().filter(after).filter(wanted).cloned().collect();
        let left = until.map(|until| u64::try_from(until.saturating_sub(state.now())).unwrap_or(0));
        let ends = left.map(|left| Instant::now() + std::time::Duration::from_nanos(left));
        let mut way = DelayedEvents::default();
        for (at, event) in (0_u64..).zip(replayed) {
            way.due.insert((Instant::now(), at), event);
        }
        way.sent = 1 << 32;
        (way, state.live.subscribe(), ends)
    };
    let mut faults = shared.faults.subscribe();
    let mut begun = !faults.borrow().late_head;
    if begun {
        begin_pieces(connection).await?;
    }
    loop {
        let due = way.next();
        tokio::select! {
            _ = cuts.changed() => {
                if cuts.borrow().in_a_line && begun {
                    return piece(connection, b"{\"Type\":\"container\",\"Action\":\"die\",\"Ac").await;
                }
                break;
            }
            () = on_time(&mut faults), if !begun => {
                begun = true;
                begin_pieces(connection).await?;
            }
            // A client sends nothing more; a byte or an end means that it is gone.
            _ = connection.read_u8() => return Ok(()),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let (_, event) = way.due.pop_first().expect("one is due");
                if !std::mem::replace(&mut begun, true) {
                    begin_pieces(connection).await?;
                }
                piece(connection, format!("{}\n", shape::event(&event)).as_bytes()).await?;
            }
            () = sleep_until(ends.unwrap_or_else(Instant::now)), if ends.is_some() && due.is_none() => break,
            event = live.recv() => match event {
                Ok(event) if filter.matches_event(&event) => way.send(shared, &event),
                // Too slow: events that did not fit are silently lost, as in Docker.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            },
        }
    }
    if begun { end_pieces(connection).await } else { begin_and_end(connection).await }
}

/// Waits until a head need not wait for its first event.
async fn on_time(faults: &mut watch::Receiver<Faults>) {
    // An error: the engine is gone, and so is this connection.
    drop(faults.wait_for(|faults| !faults.late_head).await);
}

async fn begin_and_end(connection: &mut Connection) -> io::Result<()> {
    begin_pieces(connection).await?;
    end_pieces(connection).await
}
