//! The etcdctl command set over `client`, and more: whole subtrees as documents.
//!
//! Owns: each command's requests, output and exit code; documents ([`document`]) and the writes that make a store match
//! one ([`plan`]); snapshots of etcd 0.4; candidates for shell completion.
//! Promises: stdout, stderr and exit codes of etcdctl's commands are etcdctl's. Exit codes: 0 done, 1 invalid arguments
//! or a refusal before the store was asked (also every failure of `member`, `user`, `role` and `auth`), 2 no
//! connection, 3 unknown command, 4 the store rejected the request or did not respond, 5 a cluster that is not fully
//! healthy. A write that depends on an earlier read has the condition that nothing changed since. A password is typed
//! unseen, and never shown.
//! Leaves out: parsing the command line (`settings`), and starting the runtime (`app`).

mod access;
mod auth;
mod backup;
mod command;
mod complete;
mod diff;
mod document;
mod edit;
mod error;
mod exec_watch;
mod export;
mod follow;
mod health;
mod import;
mod import_from;
mod keys;
mod members;
mod migrate;
mod plan;
mod print;
mod prompt;
mod role;
mod session;
mod snapshot;
mod subtree;
mod user;
mod watch;

pub use access::{Access, Discovery};
pub use command::{Backup, CtlCommand, ImportSource, Invocation, Message, PermissionChange};

use error::CommandError;
use session::Session;

/// Runs one call to its end: prints its output and returns the exit code. Needs a tokio runtime with IO and time.
pub async fn run(invocation: Invocation) -> u8 {
    // Notes would disturb a shell that completes a word.
    let quiet = matches!(invocation.command, CtlCommand::CompleteKeys);
    for note in invocation.notes.iter().filter(|_| !quiet) {
        print::error(&format!("{note}\n"));
    }
    match dispatch(&invocation).await {
        Ok(()) => 0,
        Err(error) => {
            print::error(&error.message);
            error.code
        }
    }
}

/// Runs the command. There is no wildcard arm, so a command without an arm does not compile.
async fn dispatch(call: &Invocation) -> Result<(), CommandError> {
    // These commands check their arguments only after the cluster was found, as etcdctl does.
    let session = || Session::open(call);
    let text = match &call.command {
        CtlCommand::Print(message) => {
            print::out(&message.stdout);
            if message.code == 0 && message.stderr.is_empty() {
                return Ok(());
            }
            return Err(CommandError { code: message.code, message: message.stderr.clone() });
        }
        CtlCommand::Backup(wanted) => backup::backup(wanted)?,
        CtlCommand::CompleteKeys => complete::keys(call).await.unwrap_or_default(),
        CtlCommand::ClusterHealth { forever } => return health::run(call, *forever).await,
        CtlCommand::MemberList => members::list(call).await?,
        CtlCommand::MemberAdd => members::add(call).await?,
        CtlCommand::MemberRemove => members::remove(call).await?,
        CtlCommand::MemberUpdate => members::update(call).await?,
        CtlCommand::Auth { enable } => auth::enable(call, *enable).await?,
        CtlCommand::UserAdd => user::add(call).await?,
        CtlCommand::UserGet => user::get(call).await?,
        CtlCommand::UserList => user::list(call).await?,
        CtlCommand::UserRemove => user::remove(call).await?,
        CtlCommand::UserRoles { roles, grant } => user::change_roles(call, roles, *grant).await?,
        CtlCommand::UserPasswd => user::passwd(call).await?,
        CtlCommand::RoleAdd => role::add(call).await?,
        CtlCommand::RoleGet => role::get(call).await?,
        CtlCommand::RoleList => role::list(call).await?,
        CtlCommand::RoleRemove => role::remove(call).await?,
        CtlCommand::RolePermissions { change, grant } => {
            role::change_permissions(call, change, *grant).await?
        }
        CtlCommand::Get(how) => keys::get(&session().await?, *how).await?,
        CtlCommand::List { get, slash } => keys::list(&session().await?, *get, *slash).await?,
        CtlCommand::Set(how) => keys::set(&session().await?, how).await?,
        CtlCommand::MakeInOrder { ttl } => keys::make_in_order(&session().await?, *ttl).await?,
        CtlCommand::Remove(how) => keys::remove(&session().await?, how).await?,
        CtlCommand::Watch { forever, after, recursive } => {
            return watch::run(&session().await?, *forever, *after, *recursive).await;
        }
        CtlCommand::ExecWatch { after, recursive } => {
            return exec_watch::run(&session().await?, *after, *recursive).await;
        }
        CtlCommand::Export { format, ttl, quorum } => {
            return export::run(&session().await?, format, *ttl, *quorum).await;
        }
        CtlCommand::Import { format, dry_run, prune } => {
            return import::run(&session().await?, format, *dry_run, *prune).await;
        }
        CtlCommand::ImportFrom(from) => return migrate::run(&session().await?, from).await,
        CtlCommand::ImportSnapshot { path, hidden, clients } => {
            snapshot::run(&session().await?, path, hidden, *clients).await?
        }
        CtlCommand::Diff { format } => return diff::run(&session().await?, format).await,
        CtlCommand::Edit { format } => return edit::run(&session().await?, format).await,
    };
    print::out(&text);
    Ok(())
}
