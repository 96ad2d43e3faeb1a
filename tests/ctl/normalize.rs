//! Removes what must differ between two stores: addresses, ids, times, and random orders.

use serde_json::Value;

use super::cases::CaseLine;
use super::pair::{Outcome, Server};
use crate::support::http::get;

/// Returns the outcome with everything replaced that cannot be the same.
pub fn normalize(outcome: &Outcome, server: &Server, line: &CaseLine) -> Outcome {
    let mut texts = [outcome.stdout.clone(), outcome.stderr.clone()];
    let members = get(&server.address(), "/v2/members").unwrap_or_default();
    for text in &mut texts {
        *text = text.replace(&server.address(), "ADDRESS");
        for (number, (id, peers)) in members_of(&members).into_iter().enumerate() {
            *text = text.replace(&id, &format!("ID{number}"));
            for peer in peers {
                *text = text.replace(&peer, &format!("PEER{number}"));
            }
        }
        let name = server.name();
        for around in ["name=@ ", "named @;", "ID of @.", "member: @\n", "@=PEER0"] {
            *text = text.replace(&around.replace('@', name), &around.replace('@', "NAME"));
        }
        *text = sorted_members(&without_times(text));
        // etcdctl turns off the terminal's echo with `stty`, which complains without a terminal.
        *text = text.split_inclusive('\n').filter(|line| !line.starts_with("stty: ")).collect();
        if line.any_order {
            let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
            lines.sort_unstable();
            *text = lines.concat();
        }
    }
    let [stdout, stderr] = texts;
    Outcome { stdout, stderr, code: outcome.code }
}

/// Returns ids and peer URLs, the started members first.
fn members_of(json: &str) -> Vec<(String, Vec<String>)> {
    let parsed: Value = serde_json::from_str(json).unwrap_or_default();
    let mut members: Vec<&Value> = parsed["members"].as_array().into_iter().flatten().collect();
    members.sort_by_key(|member| member["name"].as_str().is_none_or(str::is_empty));
    let texts = |value: &Value| {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    members
        .into_iter()
        .map(|member| (member["id"].as_str().unwrap_or_default().to_owned(), texts(&member["peerURLs"])))
        .collect()
}

/// Removes expiration times, because the two stores wrote at different moments.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\"expiration\":\"") {
        let value = at + "\"expiration\":\"".len();
        let end = rest[value..].find('"').map_or(rest.len(), |end| value + end);
        out.push_str(&rest[..value]);
        out.push('T');
        rest = &rest[end..];
    }
    out + rest
}

/// Sorts members, because they come by id and the id of an added one is random.
fn sorted_members(text: &str) -> String {
    const HEAD: &str = "ETCD_INITIAL_CLUSTER=\"";
    let line = |line: &str| match line.strip_prefix(HEAD).and_then(|rest| rest.strip_suffix("\"\n")) {
        Some(members) => {
            let mut members: Vec<&str> = members.split(',').collect();
            members.sort_unstable();
            format!("{HEAD}{}\"\n", members.join(","))
        }
        None => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// Returns a store's content except times, sorted by name, to compare the effects of two command lines.
pub fn tree(server: &Server, hidden: &[&str]) -> String {
    let mut text = String::new();
    for key in ["/"].iter().chain(hidden) {
        let path = format!("/v2/keys{key}?recursive=true&sorted=true");
        let body = get(&server.address(), &path).unwrap_or_default();
        let mut parsed: Value = serde_json::from_str(&body).unwrap_or_default();
        settle(&mut parsed);
        text.push_str(&format!("{key}: {parsed}\n"));
    }
    text
}

/// Allows a TTL to lose a second between two reads.
fn settle(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.remove("expiration");
            if let Some(ttl) = entries.get_mut("ttl") {
                *ttl = Value::from("some");
            }
            entries.values_mut().for_each(settle);
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        _ => {}
    }
}
