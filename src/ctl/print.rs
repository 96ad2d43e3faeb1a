//! Output to stdout and stderr.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::client::cluster::{Event, Node};

use super::end::{EXIT_NO_RESULT, End};

/// Writes to stdout at once. A reader that has gone away (`| head`) is not an error.
pub(super) fn out(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).ok();
}

/// Writes a result that must be complete or fail. A reader that has gone away is not an error here, either.
pub(super) fn result(bytes: &[u8]) -> Result<(), End> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(End { code: EXIT_NO_RESULT, message: format!("Error:  cannot write the result: {error}\n") })
        }
        _ => Ok(()),
    }
}

/// As [`out`], for commands that run until interrupted: a reader that has stopped reading must not block the handling
/// of the interrupt.
pub(super) async fn out_until_read(text: String) {
    tokio::task::spawn_blocking(move || out(text.as_bytes())).await.ok();
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

/// Prints the result of a request, in the requested format.
pub(super) fn event(event: &Event, output: &str) {
    match event_text(event, output) {
        Ok(text) => out(text.as_bytes()),
        Err(text) => error(&text),
    }
}

/// Returns the same as text; the error is the message for an unknown format.
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
    let mut text = String::from("{\"action\":");
    go_string(&mut text, &event.action);
    text.push_str(",\"node\":");
    json_node(&mut text, &event.node);
    text.push_str(",\"prevNode\":");
    match &event.before {
        Some(before) => json_node(&mut text, before),
        None => text.push_str("null"),
    }
    text.push_str("}\n");
    text
}

fn json_node(text: &mut String, node: &Node) {
    text.push_str("{\"key\":");
    go_string(text, &node.key);
    if node.dir {
        text.push_str(",\"dir\":true");
    }
    text.push_str(",\"value\":");
    go_string(text, &node.value);
    text.push_str(",\"nodes\":");
    match &node.nodes {
        None => text.push_str("null"),
        Some(nodes) => {
            text.push('[');
            for (number, node) in nodes.iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                json_node(text, node);
            }
            text.push(']');
        }
    }
    let _ = write!(text, ",\"createdIndex\":{},\"modifiedIndex\":{}", node.created, node.modified);
    if let Some(expiration) = &node.expiration {
        text.push_str(",\"expiration\":");
        go_string(text, expiration);
    }
    if node.ttl != 0 {
        let _ = write!(text, ",\"ttl\":{}", node.ttl);
    }
    text.push('}');
}

/// Writes a string as Go's JSON encoder does: it also escapes what could end a script in a web page.
fn go_string(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(text, "\\u{:04x}", c as u32);
            }
            c if (c as u32) < 0x20 => {
                let _ = write!(text, "\\u{:04x}", c as u32);
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_spelled_as_go_spells_it() {
        let node =
            Node { key: "/a".into(), value: "<&>\"\\\n\u{1}é\u{2028}".into(), ttl: 5, ..Node::default() };
        let mut text = String::new();
        json_node(&mut text, &node);
        assert_eq!(
            text,
            "{\"key\":\"/a\",\"value\":\"\\u003c\\u0026\\u003e\\\"\\\\\\n\\u0001é\\u2028\",\"nodes\":null,\
             \"createdIndex\":0,\"modifiedIndex\":0,\"ttl\":5}"
        );
    }
}
