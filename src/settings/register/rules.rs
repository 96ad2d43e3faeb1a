//! How a container becomes keys.

use std::net::IpAddr;

use super::super::layers::Rank;
use super::super::reader::Reader;
use crate::key;
use crate::registrar::{Layout, Rules, Suffix, Value};

#[derive(Clone, Copy, PartialEq, Eq)]
enum LayoutName {
    Registrator,
    Dockreg,
    Skydns,
}

pub(super) fn read(read: &mut Reader<'_>, own: bool) -> Rules {
    let suffixes = [
        ("exposed", Suffix::Exposed),
        ("published", Suffix::Published),
        ("always", Suffix::Always),
        ("never", Suffix::Never),
    ];
    let layout = layout(read, own);
    let values = [("address", Value::Address), ("json", Value::Json)];
    let value = read.choice("value", &values, Value::Address);
    let fixed = match layout {
        Layout::Registrator => None,
        Layout::Dockreg { .. } => Some("dockreg, whose keys hold `running`"),
        Layout::Skydns { .. } => Some("skydns, whose keys hold JSON of their own"),
        Layout::Template { value: None, .. } => None,
        Layout::Template { .. } => Some("--value-template, which says what keys hold"),
    };
    if let Some(fixed) = fixed.filter(|_| value == Value::Json && given_here(read, "value")) {
        read.report("value", format!("does not go with {fixed}; remove one of the two"));
    }
    Rules {
        ip: read.parsed("ip", ip),
        internal: read.on("internal"),
        explicit: read.on("explicit"),
        ip_label: read.text("use-ip-from-label"),
        tags: read.parsed_all("tags", tags).concat(),
        suffix: read.choice("suffix", &suffixes, Suffix::default()),
        layout,
        value,
        prefix: read.text("prefix").map_or_else(|| "/".to_owned(), |prefix| key::clean(&prefix)),
    }
}

/// Returns whether it was given for this call: the settings file serves other commands too.
fn given_here(read: &Reader<'_>, name: &str) -> bool {
    read.rank(name) > Some(Rank::File)
}

fn layout(read: &mut Reader<'_>, own: bool) -> Layout {
    let words = [
        ("registrator", LayoutName::Registrator),
        ("dockreg", LayoutName::Dockreg),
        ("skydns", LayoutName::Skydns),
    ];
    let usual = if own { LayoutName::Dockreg } else { LayoutName::Registrator };
    let word = read.choice("layout", &words, usual);
    let directory = read.parsed("key", directory);
    let domain = read.parsed("domain", domain);
    let (template, value) = (read.text("key-template"), read.text("value-template"));
    if let Some(key) = template {
        if given_here(read, "layout") {
            read.report(
                "key-template",
                "sets the form of the keys, and so does --layout; keep one of the two",
            );
        }
        return Layout::Template { key, value };
    }
    if value.is_some() {
        read.report("value-template", "goes with --key-template; --value says what the other layouts hold");
    }
    for (name, layout, goes) in
        [("key", LayoutName::Dockreg, "dockreg"), ("domain", LayoutName::Skydns, "skydns")]
    {
        if word != layout && given_here(read, name) {
            read.report(name, format!("goes with --layout {goes} only; add that or remove this"));
        }
    }
    match word {
        LayoutName::Registrator => Layout::Registrator,
        LayoutName::Dockreg => {
            Layout::Dockreg { directory: directory.unwrap_or_else(|| "service".to_owned()) }
        }
        LayoutName::Skydns => {
            // An invalid value was already reported.
            if domain.is_none() && read.rank("domain").is_none() {
                read.report("layout", "skydns needs the domain that it serves; add --domain NAME");
            }
            Layout::Skydns { domain: domain.unwrap_or_default() }
        }
    }
}

fn directory(text: &str) -> Result<String, String> {
    match key::clean(text).strip_prefix('/') {
        Some(clean) if !clean.is_empty() => Ok(clean.to_owned()),
        _ => Err(format!("{text:?} is not a directory below the prefix; write a name such as service")),
    }
}

/// Parses a DNS domain; removes its last dot.
pub(super) fn domain(text: &str) -> Result<String, String> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    let fits = |label: &str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=63).contains(&label.len()) && label.chars().all(fine)
    };
    if bare.len() <= 253 && bare.split('.').all(fits) {
        Ok(bare.to_owned())
    } else {
        Err(format!("{text:?} is not a domain; write one such as cluster.local"))
    }
}

/// Parses an address at which others reach this host.
pub(super) fn ip(text: &str) -> Result<String, String> {
    let ip: IpAddr = text
        .trim()
        .parse()
        .map_err(|_| format!("{text:?} is not an address; write one at which others reach this host"))?;
    let ip = ip.to_canonical();
    if ip.is_loopback() {
        return Err(format!(
            "{ip} is every host's address for itself; write the address at which others reach this host"
        ));
    }
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(format!(
            "{ip} does not belong to a single host; write the address at which others reach this host"
        ));
    }
    Ok(ip.to_string())
}

/// Parses tags separated by commas; an escaped comma (`\,`) is part of a tag.
pub(super) fn tags(text: &str) -> Result<Vec<String>, String> {
    if text.contains("{{") {
        return Err("templates in tags are not part of this version; write the tags themselves, or set SERVICE_TAGS on \
                    the containers"
            .to_owned());
    }
    let (mut tags, mut tag) = (Vec::new(), String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next_if_eq(&',').is_some() => tag.push(','),
            ',' => tags.push(std::mem::take(&mut tag)),
            c => tag.push(c),
        }
    }
    tags.push(tag);
    Ok(tags.iter().map(|tag| tag.trim()).filter(|tag| !tag.is_empty()).map(str::to_owned).collect())
}
