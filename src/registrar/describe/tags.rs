//! The tags of a service.

use super::super::container::{Port, Protocol};
use super::super::settings::Rules;
use super::metadata::Meta;

/// Returns the container's own tags as written, those of the rules, and `udp` for a UDP port.
pub(super) fn of(meta: &Meta, port: Port, rules: &Rules) -> Vec<String> {
    let mut tags = split(&meta.tags);
    tags.extend(rules.tags.iter().filter(|tag| !tag.is_empty()).cloned());
    if port.protocol == Protocol::Udp {
        tags.push("udp".to_owned());
    }
    tags
}

/// Splits a comma-separated list; `\,` is a literal comma, and empty items are dropped.
fn split(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let last = pieces.last_mut().expect("begins with one piece and only grows");
        match c {
            '\\' if rest.next_if_eq(&',').is_some() => last.push(','),
            ',' => pieces.push(String::new()),
            c => last.push(c),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}
