//! What a command runs: shell text, or a program with its arguments.

use std::ffi::{OsStr, OsString};
use std::fmt;

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// Shell text, run by `/bin/sh -c`.
    Shell(String),
    /// A program, found through `PATH` unless it is a path, and its arguments. No shell reads them.
    Arguments(Vec<OsString>),
}

impl Program {
    /// Returns the file that is started.
    pub(super) fn file(&self) -> &OsStr {
        match self {
            Self::Shell(_) => OsStr::new("/bin/sh"),
            Self::Arguments(words) => words.first().map_or(OsStr::new(""), OsString::as_os_str),
        }
    }

    /// Returns the command that starts it.
    pub(super) fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(self.file());
        match self {
            Self::Shell(text) => command.arg("-c").arg(text),
            Self::Arguments(words) => command.args(words.iter().skip(1)),
        };
        command
    }
}

impl fmt::Display for Program {
    /// Shows the text, or the list as it is written in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(text) => f.write_str(text),
            Self::Arguments(words) => write!(f, "{words:?}"),
        }
    }
}

/// The settings of this program, by the prefix of their variables.
const OWN_PREFIXES: [&str; 4] = ["RETUNE_", "CONFD_", "ETCD_", "ETCDCTL_"];

/// Returns whether a variable holds a password for this program, which no command needs: by its name, or because its
/// value is a user with a password, or a URL with one.
pub(super) fn is_secret(name: &OsStr, value: &OsStr) -> bool {
    let name = name.to_string_lossy();
    if !OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return false;
    }
    let value = value.to_string_lossy();
    let has_login = |url: &str| {
        let host = url.split_once("://").and_then(|(_, rest)| rest.split('/').next());
        host.is_some_and(|host| host.contains('@'))
    };
    name.ends_with("PASSWORD")
        || name.ends_with("_TOKEN")
        || (name.ends_with("USERNAME") && value.contains(':'))
        || value.split(',').any(has_login)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_passwords_are_recognised_and_other_variables_are_not() {
        let secret = |name: &str, value: &str| is_secret(OsStr::new(name), OsStr::new(value));
        for (name, value) in [
            ("RETUNE_PASSWORD", "x"),
            ("CONFD_PASSWORD", "x"),
            ("ETCDCTL_USERNAME", "root:x"),
            ("RETUNE_ENDPOINTS", "http://a:1,http://root:x@127.0.0.1:2379/"),
        ] {
            assert!(secret(name, value), "{name}");
        }
        for (name, value) in [
            ("RETUNE_PASSWORD_FILE", "/run/secret"),
            ("RETUNE_ENDPOINTS", "http://127.0.0.1:2379/a@b"),
            ("ETCDCTL_USERNAME", "root"),
            ("DB_PASSWORD", "theirs"),
            ("PATH", "/bin"),
        ] {
            assert!(!secret(name, value), "{name}");
        }
    }
}
