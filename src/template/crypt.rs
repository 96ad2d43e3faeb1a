//! Checksums, and the functions on networks and their addresses.

#![expect(clippy::needless_pass_by_value, reason = "the engine hands a function its arguments by value")]

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use ipnet::IpNet;
use md5::Md5;
use minijinja::{Error, Value};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::current;
use super::error::{fail, hidden};
use super::registry::{Int, Registry, Text};
use crate::scalar::hex;

pub(super) fn register(all: &mut Registry) {
    all.both("md5sum", |s: Text| hex(&Md5::digest(s.as_bytes())));
    all.both("sha1sum", |s: Text| hex(&Sha1::digest(s.as_bytes())));
    all.both("sha256sum", |s: Text| hex(&Sha256::digest(s.as_bytes())));
    all.both("sha512sum", |s: Text| hex(&Sha512::digest(s.as_bytes())));
    all.function("hmacSHA256", |key: Text, s: Text| hmac_sha256(&key, &s));
    all.filter("hmacSHA256", |s: Text, key: Text| hmac_sha256(&key, &s));
    all.both("cidrHost", |cidr: Text, n: Int| host(network(&cidr)?, n.0));
    all.both("cidrNetmask", |cidr: Text| Ok::<_, Error>(network(&cidr)?.netmask().to_string()));
    all.both("cidrNetwork", |cidr: Text| Ok::<_, Error>(network(&cidr)?.network().to_string()));
    all.both("cidrBroadcast", |cidr: Text| Ok::<_, Error>(network(&cidr)?.broadcast().to_string()));
    all.both("cidrContains", |cidr: Text, inner: Text| {
        let outer = network(&cidr)?;
        match inner.parse::<IpAddr>() {
            Ok(address) => Ok::<_, Error>(outer.contains(&address)),
            Err(_) => Ok(outer.contains(&network(&inner)?)),
        }
    });
    all.both("cidrHosts", hosts);
}

fn hmac_sha256(key: &str, text: &str) -> Result<String, Error> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .map_err(|error| fail(format!("hmacSHA256: {error}")))?;
    mac.update(text.as_bytes());
    Ok(hex(&mac.finalize().into_bytes()))
}

fn network(text: &str) -> Result<IpNet, Error> {
    text.parse()
        .map_err(|_| fail(format!("{} is not a network such as 10.0.0.0/8 or fd00::/64", hidden(text))))
}

/// Returns the n-th address of a network, counted from its end when negative.
fn host(network: IpNet, n: i64) -> Result<String, Error> {
    let outside = || fail(format!("cidrHost: {network} has no address {n}"));
    let bits = u32::from(network.max_prefix_len() - network.prefix_len());
    let last = if bits == 128 { u128::MAX } else { (1_u128 << bits) - 1 };
    let offset = match u128::try_from(n) {
        Ok(forward) => forward,
        Err(_) => last.checked_sub(u128::from(n.unsigned_abs()) - 1).ok_or_else(outside)?,
    };
    if offset > last {
        return Err(outside());
    }
    Ok(match network.network() {
        IpAddr::V4(base) => {
            let offset = u32::try_from(offset).map_err(|_| outside())?;
            std::net::Ipv4Addr::from(u32::from(base) + offset).to_string()
        }
        IpAddr::V6(base) => std::net::Ipv6Addr::from(u128::from(base) + offset).to_string(),
    })
}

fn hosts(cidr: Text) -> Result<Value, Error> {
    let network = network(&cidr)?;
    let bits = u32::from(network.max_prefix_len() - network.prefix_len());
    current::check_item_count(
        1_usize.checked_shl(bits).filter(|_| bits < 63).unwrap_or(usize::MAX),
        "cidrHosts",
    )?;
    Ok(Value::from(network.hosts().map(|address| Value::from(address.to_string())).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_indexed_from_either_end_and_never_out_of_range() {
        let host = |cidr: &str, n| host(network(cidr).unwrap(), n).ok();
        assert_eq!(host("10.0.0.0/24", 5).as_deref(), Some("10.0.0.5"));
        assert_eq!(host("10.0.0.7/24", -1).as_deref(), Some("10.0.0.255"));
        assert_eq!(host("10.0.0.0/24", 256), None);
        assert_eq!(host("10.0.0.0/24", -257), None);
        assert_eq!(host("0.0.0.0/0", -1).as_deref(), Some("255.255.255.255"));
        assert_eq!(host("fd00::/64", 16).as_deref(), Some("fd00::10"));
        assert_eq!(host("::/0", i64::MIN).as_deref(), Some("ffff:ffff:ffff:ffff:8000::"));
    }
}
