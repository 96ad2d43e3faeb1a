//! The facts that keys and values are made of.

use std::collections::BTreeMap;

use serde::Serialize;

/// The bytes of the largest value.
pub(super) const MAX_VALUE_BYTES: usize = 64 << 10;

/// The facts that a key and its value are made of. The field order is the order in the JSON value.
#[derive(Serialize)]
pub(super) struct ServiceFacts<'f> {
    /// `ip:port`.
    pub(super) address: String,
    pub(super) ip: &'f str,
    pub(super) port: u16,
    pub(super) name: &'f str,
    pub(super) id: &'f str,
    pub(super) tags: Vec<String>,
    pub(super) attributes: &'f BTreeMap<String, String>,
    pub(super) node: &'f str,
    /// The container's full id.
    pub(super) container: &'f str,
    pub(super) container_name: &'f str,
    pub(super) image: &'f str,
    pub(super) protocol: &'f str,
    /// The container's port.
    #[serde(skip)]
    pub(super) private_port: u16,
}
