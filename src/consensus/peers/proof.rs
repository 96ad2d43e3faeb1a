//! How members prove to each other that they hold the peer secret, and how they authenticate what follows.
//!
//! Before a request that only members may send, the caller sends a nonce and gets one. Both are used for one request.
//! The caller's proof in that request, and the proof in its response, are HMAC-SHA256 with the secret over the nonces,
//! the handshake and the path: neither can be used for another connection, member, cluster or request. Each frame of
//! a stream and each part of a snapshot carries an HMAC with a key that both sides derive from the same: frames that
//! somebody on the way changes, inserts, repeats or leaves out end the stream. Nothing is encrypted.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};
use sha2::Sha256;

use super::directory::Handshake;
use crate::consensus::peer_secret::PeerSecret;
use crate::scalar::hex;

/// The headers of nonces and proofs.
pub(super) const NONCE: &str = "Retune-Nonce";
pub(super) const PROOF: &str = "Retune-Proof";

/// Bytes of a nonce, and of an HMAC.
pub(super) const MAC_BYTES: usize = 32;

/// What each HMAC is for. No two purposes may share one.
mod purpose {
    pub(super) const CALLER: &str = "retune peers 1: caller";
    pub(super) const CALLED: &str = "retune peers 1: called";
    pub(super) const TO_CALLED: &str = "retune peers 1: frames to the called";
    pub(super) const TO_CALLER: &str = "retune peers 1: frames to the caller";
    pub(super) const SNAPSHOT: &str = "retune peers 1: snapshot";
    pub(super) const MEMBERS: &str = "retune peers 1: members";
}

/// A random number that is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonce([u8; MAC_BYTES]);

impl Nonce {
    pub(super) fn draw() -> Self {
        Self(rand::random())
    }

    pub(super) fn header(self) -> HeaderValue {
        hex_header(&self.0)
    }

    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        parse_hex(headers.get(NONCE)?).map(Self)
    }
}

/// One request and its response between two members that have exchanged nonces.
pub(super) struct Call {
    secret: PeerSecret,
    /// What both sides must agree on.
    transcript: Vec<u8>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call(hidden)")
    }
}

impl Call {
    pub(super) fn new(
        secret: &PeerSecret,
        (caller, called): (Nonce, Nonce),
        handshake: &Handshake,
        path: &str,
    ) -> Self {
        let Handshake { cluster, from, to, process, incarnation, oldest, newest } = handshake;
        let numbers = [*cluster, *from, *to, *process, *incarnation, u64::from(*oldest), u64::from(*newest)];
        let mut transcript = [caller.0, called.0].concat();
        transcript.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
        transcript.extend(path.as_bytes());
        Self { secret: secret.clone(), transcript }
    }

    fn mac(&self, purpose: &str) -> Hmac<Sha256> {
        keyed(self.secret.bytes()).chain_update(purpose).chain_update(&self.transcript)
    }

    /// Returns the caller's proof.
    pub(super) fn caller_proof(&self) -> HeaderValue {
        hex_header(&self.mac(purpose::CALLER).finalize().into_bytes())
    }

    /// Returns whether the caller has proven itself.
    pub(super) fn is_caller_proven(&self, headers: &HeaderMap) -> bool {
        verified(self.mac(purpose::CALLER), headers)
    }

    /// Returns the called member's proof in a response with this status and content.
    pub(super) fn called_proof(&self, status: StatusCode, content: &[u8]) -> HeaderValue {
        hex_header(&self.response_mac(status, content).finalize().into_bytes())
    }

    /// Returns whether the called member has proven itself in the response.
    pub(super) fn is_called_proven(&self, headers: &HeaderMap, status: StatusCode, content: &[u8]) -> bool {
        verified(self.response_mac(status, content), headers)
    }

    fn response_mac(&self, status: StatusCode, content: &[u8]) -> Hmac<Sha256> {
        self.mac(purpose::CALLED).chain_update(status.as_u16().to_le_bytes()).chain_update(content)
    }

    /// Returns the caller's keys of a stream.
    pub(super) fn caller_keys(&self) -> StreamKeys {
        StreamKeys {
            sent: FrameKey::new(self.mac(purpose::TO_CALLED)),
            received: FrameKey::new(self.mac(purpose::TO_CALLER)),
        }
    }

    /// Returns the called member's keys of a stream.
    pub(super) fn called_keys(&self) -> StreamKeys {
        let StreamKeys { sent, received } = self.caller_keys();
        StreamKeys { sent: received, received: sent }
    }

    /// Returns the key of a snapshot file: its log index is in the path of the request.
    pub(super) fn snapshot_key(&self, tag: &str, length: u64) -> SnapshotKey {
        let key = self.mac(purpose::SNAPSHOT).finalize().into_bytes();
        let mac = keyed(&key).chain_update(length.to_le_bytes());
        SnapshotKey(mac.chain_update((tag.len() as u64).to_le_bytes()).chain_update(tag))
    }
}

/// The keys of both directions of a stream.
#[derive(Debug)]
pub(super) struct StreamKeys {
    pub(super) sent: FrameKey,
    pub(super) received: FrameKey,
}

/// Authenticates the frames of one direction of a stream, in their order.
pub(super) struct FrameKey {
    mac: Hmac<Sha256>,
    next: u64,
}

impl fmt::Debug for FrameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrameKey(hidden)")
    }
}

impl FrameKey {
    fn new(derived: Hmac<Sha256>) -> Self {
        Self { mac: keyed(&derived.finalize().into_bytes()), next: 0 }
    }

    fn next(&mut self) -> Hmac<Sha256> {
        let number = self.next;
        self.next += 1;
        self.mac.clone().chain_update(number.to_le_bytes())
    }

    /// Appends the HMAC of the frame that begins at `start`.
    pub(super) fn seal(&mut self, out: &mut Vec<u8>, start: usize) {
        let mac = self.next().chain_update(&out[start..]).finalize();
        out.extend(mac.into_bytes());
    }

    /// Returns whether `mac` belongs to the next frame.
    pub(super) fn verifies(&mut self, head: &[u8], body: &[u8], mac: &[u8]) -> bool {
        self.next().chain_update(head).chain_update(body).verify_slice(mac).is_ok()
    }
}

/// Authenticates the parts of a snapshot file, each with its place.
pub(super) struct SnapshotKey(Hmac<Sha256>);

impl SnapshotKey {
    fn part(&self, at: u64, bytes: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(at.to_le_bytes()).chain_update(bytes)
    }

    /// Returns the HMAC of the part at offset `at`.
    pub(super) fn of(&self, at: u64, bytes: &[u8]) -> [u8; MAC_BYTES] {
        self.part(at, bytes).finalize().into_bytes().into()
    }

    /// Returns whether `mac` belongs to the part at offset `at`.
    pub(super) fn verifies(&self, at: u64, bytes: &[u8], mac: &[u8]) -> bool {
        self.part(at, bytes).verify_slice(mac).is_ok()
    }
}

fn members_mac(secret: &PeerSecret, nonce: Nonce, cluster: &str, body: &[u8]) -> Hmac<Sha256> {
    let mac = keyed(secret.bytes()).chain_update(purpose::MEMBERS).chain_update(nonce.0);
    mac.chain_update((cluster.len() as u64).to_le_bytes()).chain_update(cluster).chain_update(body)
}

/// Returns the proof of a list of members that was asked for with `nonce`.
pub(super) fn members_proof(secret: &PeerSecret, nonce: Nonce, cluster: &str, body: &[u8]) -> HeaderValue {
    hex_header(&members_mac(secret, nonce, cluster, body).finalize().into_bytes())
}

/// Returns whether a list of members is from a member that holds the secret.
pub(super) fn is_list_proven(
    secret: &PeerSecret,
    nonce: Nonce,
    cluster: &str,
    (headers, body): (&HeaderMap, &[u8]),
) -> bool {
    verified(members_mac(secret, nonce, cluster, body), headers)
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// Compares in constant time.
fn verified(mac: Hmac<Sha256>, headers: &HeaderMap) -> bool {
    headers.get(PROOF).and_then(parse_hex).is_some_and(|proof| mac.verify_slice(&proof).is_ok())
}

fn hex_header(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_str(&hex(bytes)).expect("hex digits are a header's value")
}

fn parse_hex(value: &HeaderValue) -> Option<[u8; MAC_BYTES]> {
    let text = value.to_str().ok().filter(|text| text.len() == 2 * MAC_BYTES)?;
    let mut bytes = [0; MAC_BYTES];
    for (nth, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * nth..2 * nth + 2)?, 16).ok()?;
    }
    Some(bytes)
}
