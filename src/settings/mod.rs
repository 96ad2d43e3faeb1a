//! Flags, environment and file to the settings structs of the rooms below.
//!
//! Three stages, each with its own file and type:
//!
//! 1. `args`: which command and dialect was typed, and which options with which words (`ParsedArgs`). Go's spelling
//!    (`-onetime`, `-watch=false`) is understood here, in both dialects.
//! 2. `merge`: for each option the one value that counts, and where it came from (`Layers`). Flags win over the
//!    environment, which wins over the file, which wins over the defaults.
//! 3. `build`: words to durations, sizes, choices and paths, and those into an [`Invocation`]. Each command has its own
//!    builder (`resources`, `member`, `register`, `place`), named in its `CommandSpec`.
//!
//! All three read one table, `options`: a new option is a row there and a line in its builder. Help, completions and man
//! pages (`pages`) come from the same rows, so they cannot list a flag that does not exist.
//!
//! Promises: all bad settings are reported at once, each with the flag, variable or file line it came from and what to
//! write instead. Help and version work whatever else is broken. A message never contains a password. A flag of
//! confd's that has no meaning here is refused with the reason, never ignored.
//!
//! `ctl` is separate: etcdctl's command line has its own rules and its own table, in a folder of that name. So is
//! Registrator's, in `register`: a dozen of Go's flags before one URI.
//!
//! Leaves out: the effect of the settings, whether files they name exist (except the settings file itself), and all
//! output; `app` prints and picks the exit status.

mod args;
mod build;
mod ctl;
mod environment;
mod etcd_file;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod go_flags;
mod invocation;
mod layers;
mod member;
mod merge;
mod options;
mod pages;
mod place;
mod problem;
mod reader;
mod register;
mod resources;
mod row;
mod spec;
mod store;
mod units;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

pub use invocation::{
    Backup, Check, CheckFormat, Colour, Dialect, Invocation, Level, Listen, Log, Member, Output, Parsed,
    PlaceSettings, Proxy, Register, RegisterStop, Restore, Task,
};
pub use member::{CLUSTER_VERSION, ETCD_VERSION};
pub use pages::command;
pub use problem::{Problem, Problems};

/// Parses the command line (the program's name first), the environment and the settings file into one [`Invocation`],
/// or into the text that was requested.
///
/// # Errors
///
/// Every bad setting at once.
pub fn parse(args: Vec<OsString>, env: &dyn Fn(&str) -> Option<String>) -> Result<Parsed, Problems> {
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    let root = nix::unistd::Uid::effective().is_root();
    let host = Host {
        etc: PathBuf::from("/etc"),
        root,
        variables,
        env,
        file_exists: Box::new(Path::exists),
        address: Box::new(address),
    };
    parse_on(&host, args)
}

/// What the machine adds to the arguments; a value, so that tests can have their own `/etc`.
struct Host<'e> {
    etc: PathBuf,
    root: bool,
    /// Looks up an environment variable.
    env: &'e dyn Fn(&str) -> Option<String>,
    /// The names of the environment variables.
    variables: Vec<String>,
    /// Returns whether a file exists, where a default depends on it.
    file_exists: Box<dyn Fn(&Path) -> bool>,
    /// Returns the source address of packets to the internet.
    address: Box<dyn Fn() -> Option<IpAddr>>,
}

impl Host<'_> {
    /// Returns the value of an environment variable; an empty one counts as unset.
    fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }
}

/// Asks the system's routing table; no packet is sent.
fn address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address reserved for documentation, so never in one of this host's own networks.
    socket.connect((Ipv4Addr::new(203, 0, 113, 1), 9)).ok()?;
    socket.local_addr().ok().map(|at| at.ip()).filter(|ip| !ip.is_unspecified())
}

fn parse_on(host: &Host<'_>, args: Vec<OsString>) -> Result<Parsed, Problems> {
    if let Some(invocation) = ctl::parse_args(&args, &host.variables, host.env) {
        return Ok(Parsed::Ctl(Box::new(invocation)));
    }
    if let Some(parsed) = register::parse_args(host, &args) {
        return parsed;
    }
    match args::read(args) {
        args::ParsedArgs::Page(page) => pages::text(&page).map(Parsed::Print),
        args::ParsedArgs::Run { command, typed, problems } => {
            let layers = merge::merge(host, command, typed, problems);
            build::invocation(host, command, &layers).map(|invocation| Parsed::Run(Box::new(invocation)))
        }
        args::ParsedArgs::Invalid(problems) => Err(Problems(problems)),
    }
}
