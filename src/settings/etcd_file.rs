//! etcd's settings file: YAML with the flags' names as keys, except for certificates, which lie below a key for each
//! port.
//!
//! When it is given, etcd ignores all other flags and all variables.

use std::ffi::OsString;
use std::path::Path;

use super::file;
use super::invocation::CommandId;
use super::layers::{Layers, OptionValue, Rank};
use super::options;
use super::problem::Problem;
use super::row::{Row, Support, ValueKind};
use crate::document::{Node, parse_yaml};
use crate::nearest::nearest;

/// The keys of the certificate sections, with the prefix of the flags' names.
const SECTIONS: [(&str, &str); 2] = [("client-transport-security", ""), ("peer-transport-security", "peer-")];
/// The keys in these sections.
const FILES: [&str; 5] = ["cert-file", "key-file", "trusted-ca-file", "client-cert-auth", "auto-tls"];
/// Flags that are not keys of the file.
const FLAGS_ONLY: [&str; 3] = ["config-file", "log-format", "color"];

/// Returns the file's settings in place of all others, if a file is given.
pub(super) fn replace_layers(mut layers: Layers) -> Layers {
    let Some(path) = layers.config_file() else { return layers };
    let others: Vec<String> = layers
        .places()
        .filter(|(name, _)| *name != "config-file")
        .map(|(_, place)| place.to_owned())
        .collect();
    // The earlier problems are about ignored settings.
    let mut from_file = Layers::default();
    (from_file.from_etcd_file, from_file.problems) = (true, std::mem::take(&mut layers.problems));
    from_file.notices.push(format!(
        "Loading server configuration from {path:?}. Other configuration command line flags and environment variables \
         will be ignored if provided."
    ));
    if !others.is_empty() {
        from_file.warnings.push(format!("not used beside --config-file, as in etcd: {}", others.join(", ")));
    }
    load(&path, &mut from_file);
    from_file
}

fn load(path: &Path, layers: &mut Layers) {
    let shown = path.display();
    let read = file::read(path).map_err(|error| format!("cannot be read: {error}"));
    let entries = match read.and_then(|text| parse_yaml(&text)) {
        Ok(Node::Map(entries)) => entries,
        Ok(Node::Null) => Vec::new(),
        Ok(_) => {
            return layers
                .problems
                .push(Problem::semantic(shown.to_string(), "it is not a map of names and values"));
        }
        Err(message) => return layers.problems.push(Problem::semantic(shown.to_string(), message)),
    };
    for (key, node) in entries {
        let place = format!("{shown}: {key}");
        match (SECTIONS.iter().find(|(section, _)| section.eq_ignore_ascii_case(&key)), node) {
            (None, node) => take(layers, place, top_level_row(&key), &node),
            (Some(_), Node::Null) => {}
            (Some((_, start)), Node::Map(files)) => {
                for (key, node) in files {
                    let known = FILES.iter().find(|name| name.eq_ignore_ascii_case(&key));
                    let row = known
                        .and_then(|name| options::flag_of(Some(CommandId::Etcd), &format!("{start}{name}")));
                    take(layers, format!("{place}: {key}"), row.ok_or_else(|| unknown(&key, &FILES)), &node);
                }
            }
            (Some(_), _) => {
                layers.problems.push(Problem::semantic(place, format!("must hold {}", FILES.join(", "))));
            }
        }
    }
}

/// Returns the row of a top-level key, or why there is none.
fn top_level_row(key: &str) -> Result<&'static Row, String> {
    let of_section = |name: &str| {
        let bare = name.strip_prefix("peer-").unwrap_or(name);
        FILES.contains(&bare)
            || bare.ends_with("ca-file")
            || bare.ends_with("crl-file")
            || bare.contains("cert-allowed")
    };
    let flags =
        || options::rows().filter(|row| row.belongs_to(CommandId::Etcd) && !FLAGS_ONLY.contains(&row.name));
    match flags().find(|row| row.name.eq_ignore_ascii_case(key)) {
        Some(row) if of_section(row.name) => {
            Err(format!("belongs below {} or {}, and has no effect here", SECTIONS[0].0, SECTIONS[1].0))
        }
        Some(row) => Ok(row),
        None => {
            let known: Vec<&str> = flags().map(|row| row.name).filter(|name| !of_section(name)).collect();
            Err(unknown(key, &known))
        }
    }
}

fn unknown(key: &str, known: &[&'static str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("no such setting, so it has no effect; did you mean {near}?"),
        None => "no such setting, so it has no effect".to_owned(),
    }
}

/// Adds a key's value. etcd ignores unknown keys; here a mistyped key causes a warning.
fn take(layers: &mut Layers, place: String, row: Result<&'static Row, String>, node: &Node) {
    let row = match row {
        Ok(row) => row,
        Err(message) => return layers.warnings.push(format!("{place}: {message}")),
    };
    let words = words(row, node).transpose();
    if let Some(Err(message)) = words {
        return layers.problems.push(Problem::semantic(place, message));
    }
    if let Some(words) = words {
        layers.add_unless_set(OptionValue { row, rank: Rank::File, place, words });
    }
}

/// Returns the words of a value, `None` for one that counts as not given. etcd is strict about types.
fn words(row: &Row, node: &Node) -> Result<Option<Vec<OsString>>, String> {
    let number =
        matches!(row.kind, ValueKind::Number | ValueKind::Bytes) || row.name == "quota-backend-bytes";
    let text = match (row.kind, node) {
        (_, Node::Null) => return Ok(None),
        (_, node) if matches!(row.support, Support::Ignored(_)) => {
            node.scalar_text().unwrap_or_default().to_owned()
        }
        (ValueKind::Switch, Node::Bool(on)) => on.to_string(),
        (ValueKind::Switch, _) => return Err("must be true or false, without quotes".to_owned()),
        (_, Node::Number(text)) if number => text.clone(),
        (_, _) if number => return Err("must be a whole number, without quotes".to_owned()),
        (_, Node::List(items)) if row.name == "log-outputs" => {
            let items: Option<Vec<&str>> = items.iter().map(Node::scalar_text).collect();
            items.ok_or("must be a list of words")?.join(",")
        }
        (_, Node::Text(text)) if row.name != "log-outputs" => text.clone(),
        (_, _) if row.name == "log-outputs" => return Err("must be a list".to_owned()),
        (_, _) => return Err("must be text; a number or a list needs quotes around the whole".to_owned()),
    };
    Ok(Some(if text.is_empty() { Vec::new() } else { vec![text.into()] }))
}
