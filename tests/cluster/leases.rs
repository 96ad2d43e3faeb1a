//! Keys with a TTL while leaders die: those with live clients stay, and one whose client has stopped expires.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::group::{Group, Plan};
use crate::durable::budget;
use crate::durable::wire::Wire;
use crate::support::{eventually, scaled};

const CLIENTS: usize = 100;
const TTL: u64 = 6;
const RENEW_INTERVAL: Duration = Duration::from_secs(2);

/// Keeps one key alive through any member that responds; returns impossible responses.
fn keep_alive(addresses: &[String], number: usize, stop: &AtomicBool) -> Vec<String> {
    let mut wires: Vec<Wire> = addresses
        .iter()
        .map(|address| Wire::to(address).with_timeout(scaled(Duration::from_millis(800))))
        .collect();
    let (mut at, mut wrong, mut created) = (number % wires.len(), Vec::new(), false);
    let path = format!("/v2/keys/lease/{number}");
    while !stop.load(Ordering::Relaxed) {
        let (query, form) = if created {
            ("?prevExist=true", format!("ttl={TTL}&refresh=true"))
        } else {
            ("", format!("value=1&ttl={TTL}"))
        };
        match wires[at].request("PUT", &format!("{path}{query}"), Some(&form)) {
            Ok(answer) if matches!(answer.status, 200 | 201) => {
                created = true;
                let begun = Instant::now();
                while begun.elapsed() < RENEW_INTERVAL && !stop.load(Ordering::Relaxed) {
                    sleep(Duration::from_millis(50));
                }
                continue;
            }
            Ok(answer) if answer.status < 500 => {
                wrong.push(format!("{path}: {} {}", answer.status, answer.text()));
                created = false;
            }
            _ => {}
        }
        at = (at + 1) % wires.len();
        sleep(Duration::from_millis(20));
    }
    wrong
}

fn alive(group: &mut Group) -> usize {
    let number = group.running()[0];
    let listed = group.ask(number).get("/v2/keys/lease").ok();
    listed.and_then(|answer| answer.json()["node"]["nodes"].as_array().map(Vec::len)).unwrap_or(0)
}

#[test]
fn only_leases_that_are_not_refreshed_expire_while_leaders_die() {
    let Some(plan) = Plan::new(3) else { return };
    let mut group = plan.on_local_ports();
    group.start();
    let (addresses, stop, stop_one) = (group.addresses(), AtomicBool::new(false), AtomicBool::new(false));
    let wrong = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let stop = if number == 0 { &stop_one } else { &stop };
                let addresses = &addresses;
                scope.spawn(move || keep_alive(addresses, number, stop))
            })
            .collect();
        eventually("all leases are there", scaled(Duration::from_secs(15)), || alive(&mut group) == CLIENTS);
        let (begun, span, mut deaths) = (Instant::now(), budget(15), 0);
        while begun.elapsed() < span {
            let leader = group.leader();
            group.members[leader].kill();
            sleep(Duration::from_secs(1));
            group.members[leader].spawn();
            sleep(Duration::from_secs(2));
            group.until_serving();
            deaths += 1;
        }
        eprintln!("leases: {deaths} leaders died");
        stop_one.store(true, Ordering::Relaxed);
        let stopped = Instant::now();
        eventually("the lease nobody refreshes ends", Duration::from_secs(TTL + 2), || {
            alive(&mut group) == CLIENTS - 1
        });
        eprintln!("leases: it went {:?} after its client stopped", stopped.elapsed());
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), group.logs());
}
