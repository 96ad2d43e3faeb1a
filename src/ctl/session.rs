//! A call with its cluster.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;

use tokio::time::Instant;

use crate::client::Credentials;
use crate::client::cluster::{Auth, Cluster, Keys, Members, Options, RequestError};

use super::access::{Access, Discovery};
use super::command::Invocation;
use super::error::{CommandError, EXIT_NO_CONNECTION, EXIT_SERVER_ERROR};
use super::print;
use super::prompt;

/// The longest accepted value; a store takes no larger one.
const MAX_VALUE_BYTES: u64 = 64 << 20;

/// One call with its cluster.
pub(super) struct Session<'c> {
    pub(super) call: &'c Invocation,
    pub(super) cluster: Cluster,
}

impl<'c> Session<'c> {
    /// Creates the client, and gets the endpoints from the members, unless the user disables that.
    pub(super) async fn open(call: &'c Invocation) -> Result<Self, CommandError> {
        let session = Self::open_without_sync(call).await?;
        let access = &call.access;
        let listed = |between: &str| session.cluster.endpoints().join(between);
        if access.sync {
            if access.debug {
                print::debug(&format!("start to sync cluster using endpoints({})", listed(",")));
            }
            // A long-running command uses only members that respond from here, and keeps the given endpoints as a
            // fallback.
            let members = session.members();
            let synced = if call.command.is_long_running() {
                let all = members.list().await;
                all.and_then(|all| {
                    let hidden = all.iter().all(|member| member.clients.is_empty());
                    if hidden { Err(RequestError::NoEndpoints) } else { Ok(()) }
                })
            } else {
                members.sync().await
            };
            if let Err(error) = synced {
                if matches!(error, RequestError::NoEndpoints) {
                    let error = CommandError::from_request_error(EXIT_SERVER_ERROR, &error);
                    let message = format!(
                        "etcd cluster has no published client endpoints.\nTry '--no-sync' if you want to access \
                         non-published client endpoints({}).\n{}",
                        listed(","),
                        error.message
                    );
                    return Err(CommandError { message, ..error });
                }
                if error.is_connection() {
                    return Err(CommandError::from_request_error(EXIT_NO_CONNECTION, &error));
                }
            }
            if access.debug {
                print::debug(&format!("got endpoints({}) after sync", listed(",")));
            }
        }
        if access.debug {
            print::debug(&format!("Cluster-Endpoints: {}", listed(", ")));
        }
        Ok(session)
    }

    /// Creates the client.
    pub(super) async fn open_without_sync(call: &'c Invocation) -> Result<Self, CommandError> {
        let access = &call.access;
        let plain = |text: String| CommandError::usage(text + "\n");
        let endpoints = endpoints(access).await.map_err(plain)?;
        if access.trust.cert.is_some() != access.trust.key.is_some() {
            let shown = |path: &Option<std::path::PathBuf>| {
                path.as_ref().map_or_else(String::new, |path| path.display().to_string())
            };
            return Err(plain(format!(
                "KeyFile and CertFile must both be present[key: {}, cert: {}]",
                shown(&access.trust.key),
                shown(&access.trust.cert)
            )));
        }
        let login = match &access.username {
            Some(typed) => Some(login(typed).await?),
            None => None,
        };
        let options = Options {
            endpoints,
            trust: access.trust.clone(),
            login,
            timeout: access.timeout,
            dial: access.total_timeout,
            trace: access.debug.then_some(print::debug as fn(&str)),
            sync: access.sync && call.command.is_long_running(),
        };
        let cluster = Cluster::new(options).map_err(|error| plain(error.to_string()))?;
        Ok(Self { call, cluster })
    }

    /// Runs `work`, and updates the members of the cluster meanwhile.
    pub(super) async fn with_member_updates<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.cluster.follow_members() => match never {},
        }
    }

    /// Returns the keys, with the timeout of a whole command from now on.
    pub(super) fn keys(&self) -> Keys<'_> {
        Keys::new(&self.cluster, Some(Instant::now() + self.call.access.total_timeout))
    }

    /// Returns the members, with the timeout of a whole command from now on.
    pub(super) fn members(&self) -> Members<'_> {
        Members::new(&self.cluster, Some(Instant::now() + self.call.access.total_timeout))
    }

    /// Returns users and roles, with the timeout of a whole command from now on.
    pub(super) fn auth(&self) -> Auth<'_> {
        if self.call.access.debug {
            // Twice, as etcdctl prints it for these commands.
            print::debug(&format!("Cluster-Endpoints: {}", self.cluster.endpoints().join(", ")));
        }
        Auth::new(&self.cluster, Some(Instant::now() + self.call.access.total_timeout))
    }

    pub(super) fn output(&self) -> &str {
        &self.call.output
    }

    /// Returns the first word, which is required.
    pub(super) fn key(&self) -> Result<&[u8], CommandError> {
        self.call
            .args
            .first()
            .map(|word| word.as_bytes())
            .ok_or_else(|| CommandError::with_prefix("key required"))
    }

    /// Returns the second word, or all of stdin with its final newline.
    pub(super) fn value(&self) -> Result<Vec<u8>, CommandError> {
        if let Some(word) = self.call.args.get(1) {
            return Ok(word.as_bytes().to_vec());
        }
        let mut value = Vec::new();
        let read = std::io::stdin().lock().take(MAX_VALUE_BYTES + 1).read_to_end(&mut value);
        if read.is_err() || value.is_empty() {
            return Err(CommandError::with_prefix("value required"));
        }
        if value.len() as u64 > MAX_VALUE_BYTES {
            return Err(CommandError::with_prefix(format_args!(
                "the value is larger than {} MiB",
                MAX_VALUE_BYTES >> 20
            )));
        }
        Ok(value)
    }
}

/// Returns words as text for output.
pub(super) fn texts(words: &[OsString]) -> Vec<String> {
    words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

async fn endpoints(access: &Access) -> Result<Vec<String>, String> {
    let Some(Discovery { domain, insecure }) = &access.discovery else { return Ok(access.endpoints.clone()) };
    let mut found = crate::client::cluster::discover(domain, access.total_timeout).await?;
    if !insecure {
        found.retain(|endpoint| {
            let plain = endpoint.starts_with("http://");
            if plain {
                print::error(&format!("ignoring discovered insecure endpoint \"{endpoint}\"\n"));
            }
            !plain
        });
    }
    Ok(if found.is_empty() { access.endpoints.clone() } else { found })
}

/// Returns the credentials in `name:password`; prompts for a missing password.
pub(super) async fn login(typed: &str) -> Result<Credentials, CommandError> {
    if let Some((name, password)) = typed.split_once(':') {
        return Ok(Credentials::new(name, password));
    }
    Ok(Credentials::new(typed, prompt::secret("Password: ").await?))
}
