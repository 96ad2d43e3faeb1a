//! Adding members to a running cluster and removing them, through the v2 API.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::group::{AGREE_TIMEOUT, Group};
use crate::durable::member::MemberSlot;
use crate::support::http::{get, request};
use crate::support::port::Port;
use crate::support::{Dir, Retune, WAIT_TIMEOUT, eventually, scaled};

/// Sends a request about members to each of them until one accepts it.
#[track_caller]
pub fn about_members(group: &Group, among: &[usize], method: &str, path: &str, json: Option<&str>) -> String {
    let (begun, mut last) = (Instant::now(), String::new());
    loop {
        for number in among {
            let body = json.map(|json| ("application/json", json));
            match request(&group.members[*number].address(), method, path, body) {
                Ok(answer) if matches!(answer.status, 200..=299) => return answer.body,
                // Done already: an earlier attempt was applied although its response was lost.
                Ok(answer) if matches!((method, answer.status), ("DELETE", 404 | 410) | ("POST", 409)) => {
                    return answer.body;
                }
                Ok(answer) => last = format!("{} {}", answer.status, answer.body),
                Err(error) => last = error.to_string(),
            }
        }
        assert!(begun.elapsed() < scaled(AGREE_TIMEOUT), "{method} {path}: {last}\n{}", group.logs());
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Adds a member to the cluster of `active`, without starting it.
#[track_caller]
pub fn add(group: &Group, active: &[usize], slot: &MemberSlot) {
    let json = format!("{{\"peerURLs\":[\"{}://{}\"]}}", slot.scheme, slot.advertised);
    about_members(group, active, "POST", "/v2/members", Some(&json));
}

/// Adds the member `number`, which is not running, to the cluster of `active`, and starts it.
#[track_caller]
pub fn join(group: &mut Group, active: &[usize], number: usize) {
    add(group, active, &group.members[number].slot);
    let entry = |number: &usize| {
        let slot = &group.members[*number].slot;
        format!("{}={}://{}", slot.name, slot.scheme, slot.advertised)
    };
    let cluster: Vec<String> = active.iter().chain([&number]).map(entry).collect();
    let words = group.plan.words.clone();
    let words: Vec<&str> =
        words.iter().map(String::as_str).chain(["--initial-cluster-state", "existing"]).collect();
    let member = &mut group.members[number];
    member.slot.cluster = cluster.join(",");
    member.set_flags(&words);
    member.spawn();
    if let Err(why) = member.until_serving(AGREE_TIMEOUT) {
        panic!("the new member {number}: {why}\n{}", group.logs());
    }
    // It is promoted when it has caught up.
    let index = group.tree(active[0]).map_or(0, |(index, _)| index);
    eventually("the new member has what the others have", AGREE_TIMEOUT, || {
        group.tree(number).is_some_and(|(own, _)| own >= index)
    });
}

/// Returns the id of a member by its peer address.
#[track_caller]
pub fn id(group: &Group, active: &[usize], slot: &MemberSlot) -> String {
    let members = about_members(group, active, "GET", "/v2/members", None);
    let members: Value = serde_json::from_str(&members).unwrap();
    let own = format!("{}://{}", slot.scheme, slot.advertised);
    let mut all = members["members"].as_array().into_iter().flatten();
    let found = all.find(|member| member["peerURLs"][0] == own.as_str());
    found.unwrap_or_else(|| panic!("{own} is not in {members}"))["id"].as_str().unwrap().to_owned()
}

/// Removes a member, which must notice and end cleanly.
#[track_caller]
pub fn remove_member(group: &mut Group, active: &[usize], number: usize) {
    let id = id(group, active, &group.members[number].slot);
    about_members(group, active, "DELETE", &format!("/v2/members/{id}"), None);
    let code = group.members[number].wait(WAIT_TIMEOUT);
    assert_eq!(code, Some(0), "a removed member ends in good order\n{}", group.members[number].log_tail());
}

/// A member that was started for itself alone listens for no other, and an election has nothing to do with that.
#[test]
fn a_member_that_cannot_be_added_is_refused_with_the_reason() {
    let (dir, port) = (Dir::new(), Port::claim());
    let url = format!("http://{}", port.address());
    let alone = ["store", "--listen-client-urls", &url, "--advertise-client-urls", &url];
    let daemon = Retune::new(&dir, &alone).spawn();
    eventually("it serves", WAIT_TIMEOUT, || get(&port.address(), "/version").is_some());
    let member =
        |words: &[&str]| Retune::new(&dir, &["ctl", "--endpoints", &url, "member"]).args(words).run();
    let refused = format!("{url} refused: ");
    let added =
        member(&["add", "b", "http://127.0.0.1:9"]).exits(1).says(&refused).says("--listen-peer-urls");
    added.does_not_say("leader");
    let list = member(&["list"]).exits(0).stdout;
    let id = list.split(':').next().unwrap_or_default();
    member(&["remove", id]).exits(1).says(&refused).says("no majority").does_not_say("leader");
    daemon.terminate();
}
