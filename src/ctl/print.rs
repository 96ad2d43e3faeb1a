//! Output to stdout and stderr.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::client::cluster::{Event, Node};
use crate::protocol::json_bytes;

use super::error::{CommandError, EXIT_NO_RESULT};

/// Writes to stdout at once. A reader that has gone away (`| head`) is not an error.
pub(super) fn out(text: &str) {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).ok();
}

/// Writes a result that must be complete or fail. A reader that has gone away is not an error here, either.
pub(super) fn result(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError {
            code: EXIT_NO_RESULT,
            message: format!("Error:  cannot write the result: {error}\n"),
        }),
        _ => Ok(()),
    }
}

/// As [`out`], for commands that run until interrupted: a reader that has stopped reading must not block the handling
/// of the interrupt.
pub(super) async fn out_until_read(text: String) {
    tokio::task::spawn_blocking(move || out(&text)).await.ok();
}

/// As [`error`], for the same commands.
pub(super) async fn error_until_read(text: String) {
    tokio::task::spawn_blocking(move || error(&text)).await.ok();
}

/// Writes to stderr.
pub(super) fn error(text: &str) {
    io::stderr().lock().write_all(text.as_bytes()).ok();
}

/// Writes a line of the debug output.
pub(super) fn debug(line: &str) {
    error(&format!("{line}\n"));
}

/// Returns the result of a request in the requested format; nothing for an unknown one, which is reported.
pub(super) fn event(event: &Event, output: &str) -> String {
    event_text(event, output).unwrap_or_else(|why| {
        error(&why);
        String::new()
    })
}

/// Returns the same; the error is the message for an unknown format.
pub(super) fn event_text(event: &Event, output: &str) -> Result<String, String> {
    match output {
        "simple" if event.action == "delete" => {
            let before = event.before.as_ref().map_or("", |node| node.value.as_str());
            Ok(format!("PrevNode.Value: {before}\n"))
        }
        "simple" => Ok(format!("{}\n", event.node.value)),
        "extended" => Ok(extended(event)),
        "json" => Ok(json(event)),
        other => Err(format!("Unsupported output format: {other}\n")),
    }
}

fn extended(event: &Event) -> String {
    let node = &event.node;
    let mut text =
        format!("Key: {}\nCreated-Index: {}\nModified-Index: {}\n", node.key, node.created, node.modified);
    // Writing to a String cannot fail.
    if let Some(before) = &event.before {
        let _ = writeln!(text, "PrevNode.Value: {}", before.value);
    }
    let _ = writeln!(text, "TTL: {}\nIndex: {}", node.ttl, event.index);
    if event.action != "delete" {
        let _ = writeln!(text, "\n{}", node.value);
    }
    text
}

fn json(event: &Event) -> String {
    let before = event.before.as_ref().map_or_else(|| "null".to_owned(), json_node);
    let (action, node) = (go_string(&event.action), json_node(&event.node));
    format!("{{\"action\":{action},\"node\":{node},\"prevNode\":{before}}}\n")
}

fn json_node(node: &Node) -> String {
    let mut text = String::new();
    let mut open: Vec<&Node> = Vec::new();
    for (depth, node) in node.walk() {
        open.drain(depth..).rev().for_each(|above| end_json_node(&mut text, above));
        if text.ends_with('}') {
            text.push(',');
        }
        let dir = if node.dir { ",\"dir\":true" } else { "" };
        let (key, value) = (go_string(&node.key), go_string(&node.value));
        let nodes = if node.nodes.is_some() { "[" } else { "null" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{{\"key\":{key}{dir},\"value\":{value},\"nodes\":{nodes}");
        open.push(node);
    }
    open.into_iter().rev().for_each(|above| end_json_node(&mut text, above));
    text
}

/// Writes what follows the entries of a node.
fn end_json_node(text: &mut String, node: &Node) {
    text.push_str(if node.nodes.is_some() { "]" } else { "" });
    let _ = write!(text, ",\"createdIndex\":{},\"modifiedIndex\":{}", node.created, node.modified);
    if let Some(expiration) = &node.expiration {
        let _ = write!(text, ",\"expiration\":{}", go_string(expiration));
    }
    if node.ttl != 0 {
        let _ = write!(text, ",\"ttl\":{}", node.ttl);
    }
    text.push('}');
}

/// Returns a string as Go's JSON encoder writes it.
fn go_string(value: &str) -> String {
    let mut out = Vec::new();
    json_bytes(&mut out, value.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_spelled_as_go_spells_it() {
        let node =
            Node { key: "/a".into(), value: "<&>\"\\\n\u{1}é\u{2028}".into(), ttl: 5, ..Node::default() };
        assert_eq!(
            json_node(&node),
            "{\"key\":\"/a\",\"value\":\"\\u003c\\u0026\\u003e\\\"\\\\\\n\\u0001é\\u2028\",\"nodes\":null,\
             \"createdIndex\":0,\"modifiedIndex\":0,\"ttl\":5}"
        );
        let text = r#"{"node":{"nodes":[{"key":"/a","nodes":[{"key":"/a/x"}]},{"key":"/b","nodes":[]}]}}"#;
        let end = ",\"createdIndex\":0,\"modifiedIndex\":0}";
        let leaf =
            |key: &str, nodes: &str| format!("{{\"key\":\"{key}\",\"value\":\"\",\"nodes\":{nodes}{end}");
        let a = leaf("/a", &format!("[{}]", leaf("/a/x", "null")));
        let want = leaf("", &format!("[{a},{}]", leaf("/b", "[]")));
        assert_eq!(json_node(&Event::parse(text.as_bytes()).unwrap().node), want);
    }
}
