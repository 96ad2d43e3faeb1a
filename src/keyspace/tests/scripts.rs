//! The commands of the scripts in `scripts/`: changes, reads, watches, time.
//!
//! `@1/2` is a node with createdIndex 1 and modifiedIndex 2. Times are seconds after the start.

use super::golden::{Words, play_all};
use super::*;

#[derive(Default)]
struct ScriptState {
    space: Keyspace,
    watches: Vec<(String, Watch)>,
}

#[test]
fn scripts() {
    play_all("keyspace/tests/scripts", run);
}

fn lines<T>(items: impl IntoIterator<Item = T>, line: impl FnMut(T) -> String) -> String {
    items.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns the instant `seconds` after the start; fractions down to the nanosecond.
fn instant(seconds: f64) -> Time {
    NOW + (seconds * SECOND as f64).round() as Time
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn node(dir: bool, value: Option<&Value>, expires: Option<Time>, indexes: (u64, u64)) -> String {
    let value = value.map(|value| format!(" {:?}", lossy(value))).unwrap_or_default();
    let until = expires.map(|time| format!(" until {}", (time - NOW) as f64 / SECOND as f64));
    let dir = if dir { " dir" } else { "" };
    format!("@{}/{}{dir}{value}{}", indexes.0, indexes.1, until.unwrap_or_default())
}

fn record(record: &NodeRecord) -> String {
    node(record.dir, record.value.as_ref(), record.expires, (record.created, record.modified))
}

fn event_node(event_node: &EventNode) -> String {
    let ttl = if event_node.expires.is_some() || event_node.ttl != 0 {
        format!(" ttl {}", event_node.ttl)
    } else {
        String::new()
    };
    node(
        event_node.dir,
        event_node.value.as_ref(),
        event_node.expires,
        (event_node.created, event_node.modified),
    ) + &ttl
}

fn event(event: &Event) -> String {
    let refresh = if event.refresh { " refresh" } else { "" };
    let prev = event.prev.as_ref().map(|prev| format!(", was {}", event_node(prev))).unwrap_or_default();
    format!("{} {} {}{refresh}{prev}", event.action.word(), lossy(&event.key), event_node(&event.node))
}

fn received(watch: &mut Watch) -> String {
    let events: Vec<_> =
        drained(watch).into_iter().map(|(word, key, index)| format!("{word} {key} {index}")).collect();
    if events.is_empty() { "nothing".to_owned() } else { events.join(", ") }
}

fn view(key: &str, view: NodeView<'_>) -> String {
    let stamp = |view: &NodeView<'_>| {
        node(view.kind() == NodeKind::Dir, view.value(), view.expires(), (view.created(), view.modified()))
    };
    let children = view.children().map(|(name, child)| format!("  {} {}", lossy(name), stamp(&child)));
    lines(std::iter::once(format!("{key} {}", stamp(&view))).chain(children), |line| line)
}

fn run(stage: &mut ScriptState, words: &mut Words) -> String {
    let space = &mut stage.space;
    match words.next().as_str() {
        "get" => lines(words.keys(), |key| {
            space.get(key.as_bytes()).map_or_else(|e| e.to_string(), |v| view(&key, v))
        }),
        "node" => lines(words.keys(), |key| {
            format!(
                "{key} {}",
                space.record(key.as_bytes()).map_or("is missing".to_owned(), |node| record(&node))
            )
        }),
        "tree" => lines(space.nodes(), |(key, node)| {
            assert_eq!(space.record(&key).as_ref(), Some(&node));
            format!("{} {}", lossy(&key), record(&node))
        }),
        "next-expiry" => {
            space.next_expiry().map_or("never".to_owned(), |time| ((time - NOW) / SECOND).to_string())
        }
        // Removes all that expires, as a leader does that was late.
        "expire-all" => format!("{} expired", space.expire(instant(words.option("at").unwrap_or_default()))),
        "reserve" => {
            (0..words.option("times").unwrap_or(1)).map(|_| space.reserve()).max().unwrap_or(0).to_string()
        }
        // Drops the values of past events, as happens to large ones.
        "clear" => {
            let indexes: Vec<u64> = std::iter::from_fn(|| words.option("event")).collect();
            *space = space.without_values_of(|index| indexes.contains(&index));
            String::new()
        }
        // As etcd reads its auth flag from the store.
        "failed-get" => {
            space.note_get(false);
            String::new()
        }
        "counts" => {
            let counts = format!("{:?}", space.counts()).replace("StoreStats { ", "").replace(" }", "");
            counts.split(", ").filter(|count| !count.ends_with(": 0")).collect::<Vec<_>>().join(", ")
        }
        "changes" => {
            let changes = space.take_changes();
            let shown = |NodePlace { parent, name }: NodePlace<'_>| {
                format!(" {}@{}/{}", parent.created, parent.depth, lossy(name))
            };
            let mut removed: Vec<String> = changes.removed.iter().map(|node| shown(node.place())).collect();
            let mut written = vec![];
            space.each_written(&changes, |place, _| written.push(shown(place)));
            for list in [&mut removed, &mut written] {
                list.sort();
                list.dedup();
            }
            format!("removed{}\nwritten{}", removed.concat(), written.concat())
        }
        "watch" => watch(stage, words),
        "drop-watches" => {
            stage.watches.clear();
            String::new()
        }
        "heard" => {
            let heard = lines(&mut stage.watches, |(key, watch)| format!("{key}: {}", received(watch)));
            format!("{heard}\n{} waiting", space.counts().watchers)
        }
        change => apply(space, change, words),
    }
}

/// Registers a watch of each key. What one from the past is sent is the answer; the others wait for `heard`.
fn watch(stage: &mut ScriptState, words: &mut Words) -> String {
    let what = WatchOptions {
        recursive: words.flag("recursive"),
        stream: words.flag("stream"),
        since: words.option("since").unwrap_or(0),
    };
    let answers = words.keys().into_iter().map(|key| match stage.space.watch(key.as_bytes(), what) {
        Err(error) => format!("{key}: {error}"),
        Ok(mut watch) if what.since > 0 => {
            let sent = received(&mut watch);
            stage.watches.extend((sent == "nothing").then(|| (key.clone(), watch)));
            format!("{key}: {sent}")
        }
        Ok(watch) => {
            stage.watches.push((key, watch));
            String::new()
        }
    });
    answers.filter(|answer| !answer.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Applies a change to each key, `/key` or `/key=value`. A refusal changes nothing.
fn apply(space: &mut Keyspace, change: &str, words: &mut Words) -> String {
    let at = instant(words.option("at").unwrap_or_default());
    let expires = words.option("until").map(instant);
    let (dir, recursive, refresh) = (words.flag("dir"), words.flag("recursive"), words.flag("refresh"));
    let prev_value = words.option::<String>("prev").map(|value| bytes(&value));
    let prev_index = words.option("index");
    let keys = if change == "expire" { vec![String::new()] } else { words.keys() };
    lines(keys, |word| {
        let (key, value) = word.split_once('=').unwrap_or((&word, ""));
        let (key, value, prev_value) = (bytes(key), bytes(value), prev_value.clone());
        let operation = match change {
            "set" => Operation::Set { key, dir, value, expires, refresh },
            "create" => Operation::Create { key, dir, value, expires, in_order: false },
            "post" => Operation::Create { key, dir, value, expires, in_order: true },
            "update" => Operation::Update { key, value, expires, refresh },
            "swap" => Operation::CompareAndSwap { key, prev_value, prev_index, value, expires, refresh },
            "delete" => Operation::Delete { key, dir, recursive },
            "compare-delete" => Operation::CompareAndDelete { key, prev_value, prev_index },
            "expire" => Operation::Expire,
            _ => words.wrong("no such command"),
        };
        let (before, index) = (space.listing(), space.index());
        match space.apply(&Command { at, operation }) {
            Ok(done) => event(&done),
            Err(error) => {
                assert_eq!((space.listing(), space.index(), error.index), (before, index, index), "{error}");
                error.to_string()
            }
        }
    })
}
