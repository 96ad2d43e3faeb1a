//! Names and addresses: DNS and this machine's interfaces. Every result makes the render volatile.

#![expect(clippy::needless_pass_by_value, reason = "the engine hands a function its arguments by value")]

use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use minijinja::{Error, Value};

use super::current;
use super::error::fail;
use super::registry::{Registry, Text};

/// How long one query may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn register(all: &mut Registry) {
    all.both("lookupIP", |host: Text, default: Option<Value>| addresses("lookupIP", host, default, |_| true));
    all.both("lookupIPV4", |host: Text, default: Option<Value>| {
        addresses("lookupIPV4", host, default, IpAddr::is_ipv4)
    });
    all.both("lookupIPV6", |host: Text, default: Option<Value>| {
        addresses("lookupIPV6", host, default, IpAddr::is_ipv6)
    });
    all.function("lookupSRV", services);
    all.both("lookupIfaceIPV4", |name: Text| interface(&name, IpAddr::is_ipv4));
    all.both("lookupIfaceIPV6", |name: Text| interface(&name, IpAddr::is_ipv6));
}

/// Queries on a thread of its own: the system's resolver cannot be interrupted, and a runtime cannot start inside
/// another one. An abandoned thread ends with its query.
fn lookup<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (answer, wait) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("dns".to_owned())
        .spawn(move || answer.send(question()).ok())
        .map_err(|error| error.to_string())?;
    match wait.recv_timeout(LOOKUP_TIMEOUT) {
        Ok(answer) => answer,
        Err(_) => Err(format!("no response within {} seconds", LOOKUP_TIMEOUT.as_secs())),
    }
}

fn or_default(
    answer: Result<Value, String>,
    default: Option<Value>,
    function: &str,
    name: &str,
) -> Result<Value, Error> {
    match (answer, default) {
        (Ok(value), _) => Ok(value),
        (Err(_), Some(default)) => Ok(default),
        (Err(error), None) => {
            Err(fail(format!("{function}: {name}: {error} (an extra last argument is the default)")))
        }
    }
}

fn addresses(
    function: &str,
    host: Text,
    default: Option<Value>,
    wanted: fn(&IpAddr) -> bool,
) -> Result<Value, Error> {
    current::volatile()?;
    current::check_deadline()?;
    let name = host.0.clone();
    let answer = lookup(move || {
        let found = (name.as_str(), 0).to_socket_addrs().map_err(|error| error.to_string())?;
        let texts: BTreeSet<String> =
            found.map(|found| found.ip()).filter(wanted).map(|ip| ip.to_string()).collect();
        if texts.is_empty() {
            return Err("no such address".to_owned());
        }
        Ok(Value::from(texts.into_iter().map(Value::from).collect::<Vec<_>>()))
    });
    or_default(answer, default, function, &host)
}

fn services(service: Text, proto: Text, name: Text, default: Option<Value>) -> Result<Value, Error> {
    current::volatile()?;
    current::check_deadline()?;
    let query = if service.is_empty() && proto.is_empty() {
        name.0
    } else {
        format!("_{}._{}.{}", &*service, &*proto, &*name)
    };
    let asked = query.clone();
    let answer = lookup(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let resolver = TokioResolver::builder_tokio()
                .and_then(|builder| builder.build())
                .map_err(|error| error.to_string())?;
            let lookup = tokio::time::timeout(LOOKUP_TIMEOUT, resolver.srv_lookup(asked.as_str()))
                .await
                .map_err(|_| "no response in time".to_owned())?
                .map_err(|error| error.to_string())?;
            let mut found: Vec<(String, Value)> = Vec::new();
            for record in lookup.answers() {
                if let RData::SRV(service) = &record.data {
                    found.push(entry(
                        &service.target.to_string(),
                        service.port,
                        service.priority,
                        service.weight,
                    ));
                }
            }
            found.sort_by(|left, right| left.0.cmp(&right.0));
            if found.is_empty() {
                return Err("no such service".to_owned());
            }
            Ok(Value::from(found.into_iter().map(|(_, value)| value).collect::<Vec<_>>()))
        })
    });
    or_default(answer, default, "lookupSRV", &query)
}

/// Returns one service with its sort key; the order is confd's.
fn entry(target: &str, port: u16, priority: u16, weight: u16) -> (String, Value) {
    let numbers = [("port", port), ("priority", priority), ("weight", weight)];
    let capitalised = [("Port", port), ("Priority", priority), ("Weight", weight)];
    let mut pairs = vec![("target", Value::from(target)), ("Target", Value::from(target))];
    pairs.extend(numbers.into_iter().chain(capitalised).map(|(name, number)| (name, Value::from(number))));
    (format!("{target}{port}{priority}{weight}"), Value::from_pairs(pairs))
}

/// Returns the first address of an interface, or an empty text.
fn interface(name: &str, wanted: fn(&IpAddr) -> bool) -> Result<String, Error> {
    current::volatile()?;
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Ok(String::new()) };
    let found = all.filter(|one| one.interface_name == name).filter_map(|one| {
        let address = one.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    Ok(found.filter(wanted).map(|ip| ip.to_string()).next().unwrap_or_default())
}
