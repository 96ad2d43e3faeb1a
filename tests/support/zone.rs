//! A network with its own name server, in which programs run: a network namespace, and a mount namespace with its own
//! `/etc/resolv.conf`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;

use super::proc::Proc;
use super::programs::{need_hosts, need_program};
use super::{WAIT_TIMEOUT, eventually};

const SCRIPT: &str = "set -e
ip link set lo up
ip link add outside type veth peer name world
ip addr add 192.0.2.2/24 dev outside
ip link set outside up
ip link set world up
ip route add default via 192.0.2.1
mount --bind \"$1/resolv.conf\" /etc/resolv.conf
: > \"$1/ready\"
exec sleep infinity";

/// A DNS record.
#[derive(Clone, Debug)]
pub enum DnsRecord {
    /// A host and a port.
    Srv(&'static str, u16),
    /// An address.
    Address(Ipv4Addr),
    /// The name server reports a failure.
    Broken,
}

type Records = Arc<Mutex<BTreeMap<String, Vec<DnsRecord>>>>;

/// The network.
pub struct Zone {
    holder: Proc,
    records: Records,
    ended: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
    /// The network that the test's thread came from.
    home: File,
    _folder: TempDir,
}

impl Zone {
    /// Creates a network whose name server knows these records; the thread is in it from now on. `None` where that is
    /// not possible.
    pub fn new(records: &[(&str, DnsRecord)]) -> Option<Self> {
        if !need_hosts() || !need_program("nsenter") {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("retune-zone-").tempdir().unwrap();
        fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]);
        let holder = Proc::spawn(command.arg(folder.path()).stdin(Stdio::null()));
        eventually("the network is there", WAIT_TIMEOUT, || folder.path().join("ready").exists());
        let home = File::open("/proc/thread-self/ns/net").unwrap();
        let network = File::open(format!("/proc/{}/ns/net", holder.pid())).unwrap();
        setns(network, CloneFlags::CLONE_NEWNET).unwrap();
        let known = Records::default();
        for (name, record) in records {
            known.lock().unwrap().entry((*name).to_owned()).or_default().push(record.clone());
        }
        // A thread that starts here is in this network as well.
        let (socket, ended) = (UdpSocket::bind("127.0.0.1:53").unwrap(), Arc::new(AtomicBool::new(false)));
        let (shared, told) = (Arc::clone(&known), Arc::clone(&ended));
        let server = Some(thread::spawn(move || serve(&socket, &shared, &told)));
        Some(Self { holder, records: known, ended, server, home, _folder: folder })
    }

    /// Returns the command prefix of a program that has to run there. It execs the program, which so has its process
    /// id.
    pub fn within(&self) -> Vec<String> {
        let pid = self.holder.pid().to_string();
        ["nsenter", "--target", &pid, "--net", "--mount", "--"].map(str::to_owned).to_vec()
    }

    /// Removes all records of a name.
    pub fn remove_records(&self, name: &str) {
        self.records.lock().unwrap().remove(name);
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if self.server.take().is_some_and(|server| server.join().is_err()) {
            eprintln!("the name server panicked");
        }
        if let Err(error) = setns(&self.home, CloneFlags::CLONE_NEWNET) {
            eprintln!("this thread cannot return to its network: {error}");
        }
    }
}

fn serve(socket: &UdpSocket, records: &Records, ended: &AtomicBool) {
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut buffer = [0; 1500];
    while !ended.load(Ordering::SeqCst) {
        let Ok((size, from)) = socket.recv_from(&mut buffer) else { continue };
        let Some(answer) = answer(&buffer[..size], &records.lock().unwrap()) else { continue };
        socket.send_to(&answer, from).ok();
    }
}

/// Returns the response to a query of one question.
fn answer(query: &[u8], records: &BTreeMap<String, Vec<DnsRecord>>) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while let Some(length) = query.get(at).map(|length| usize::from(*length)).filter(|length| *length > 0) {
        labels.push(String::from_utf8_lossy(query.get(at + 1..at + 1 + length)?).to_lowercase());
        at += 1 + length;
    }
    let (question, kind) = (query.get(12..at + 5)?, query.get(at + 2)?);
    let found = records.get(&labels.join("."));
    let broken = found.is_some_and(|found| found.iter().any(|record| matches!(record, DnsRecord::Broken)));
    let data: Vec<Vec<u8>> = found
        .into_iter()
        .flatten()
        .filter_map(|record| match (record, kind) {
            (DnsRecord::Srv(host, port), 33) => {
                let mut data = [&[0, 0, 0, 100], &port.to_be_bytes()[..]].concat();
                for label in host.split('.') {
                    data.push(u8::try_from(label.len()).unwrap());
                    data.extend(label.bytes());
                }
                data.push(0);
                Some(data)
            }
            (DnsRecord::Address(address), 1) => Some(address.octets().to_vec()),
            (DnsRecord::Srv(..) | DnsRecord::Address(_) | DnsRecord::Broken, _) => None,
        })
        .collect();
    let code = if broken {
        2
    } else if found.is_some() {
        0
    } else {
        3
    };
    let mut out = [&query[..2], &[0x85, 0x80 | code, 0, 1, 0], &[u8::try_from(data.len()).unwrap()]].concat();
    out.extend([0; 4]);
    out.extend(question);
    for data in data {
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        out.extend([0xc0, 12, 0, *kind, 0, 1, 0, 0, 0, 60, length[0], length[1]]);
        out.extend(data);
    }
    Some(out)
}
