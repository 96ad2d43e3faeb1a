//! `role add`, `get`, `list`, `remove`, `grant` and `revoke`.

use crate::client::cluster::Permissions;
use crate::protocol::cleaned;

use super::command::{Invocation, PermissionChange};
use super::error::CommandError;
use super::session::Session;

const NAME: &str = "Please provide a role name\n";

pub(super) async fn list(call: &Invocation) -> Result<String, CommandError> {
    call.no_args()?;
    let roles = Session::open(call).await?.auth().roles().await.map_err(CommandError::without_prefix)?;
    Ok(roles.iter().map(|role| format!("{role}\n")).collect())
}

pub(super) async fn add(call: &Invocation) -> Result<String, CommandError> {
    let name = call.only_arg(NAME)?;
    let session = Session::open(call).await?;
    let auth = session.auth();
    if auth.role(&name).await.is_ok() {
        return Err(CommandError::usage(format!("Role {name} already exists\n")));
    }
    auth.add_role(&name).await.map_err(CommandError::without_prefix)?;
    Ok(format!("Role {name} created\n"))
}

pub(super) async fn remove(call: &Invocation) -> Result<String, CommandError> {
    let name = call.only_arg(NAME)?;
    Session::open(call).await?.auth().remove_role(&name).await.map_err(CommandError::without_prefix)?;
    Ok(format!("Role {name} removed\n"))
}

pub(super) async fn get(call: &Invocation) -> Result<String, CommandError> {
    let name = call.only_arg(NAME)?;
    let role = Session::open(call).await?.auth().role(&name).await.map_err(CommandError::without_prefix)?;
    let lines = |list: Option<Vec<String>>| {
        list.into_iter().flatten().map(|pattern| format!("\t{pattern}\n")).collect::<String>()
    };
    let Permissions { read, write } = role.permissions;
    Ok(format!("Role: {}\nKV Read:\n{}KV Write:\n{}", role.name, lines(read), lines(write)))
}

pub(super) async fn change_permissions(
    call: &Invocation,
    what: &PermissionChange,
    grant: bool,
) -> Result<String, CommandError> {
    let path = &what.path;
    if path.is_empty() {
        return Err(CommandError::usage("No path specified; please use `--path`\n"));
    }
    let clean = canonical(path);
    if clean != *path {
        return Err(CommandError::usage(format!("Not canonical path; please use `--path={clean}`\n")));
    }
    if [what.read, what.write, what.both].into_iter().filter(|given| *given).count() != 1 {
        return Err(CommandError::usage("Please specify exactly one of --read, --write or --readwrite\n"));
    }
    let name = call.only_arg(NAME)?;
    let session = Session::open(call).await?;
    let auth = session.auth();
    let before = auth.role(&name).await.map_err(CommandError::without_prefix)?;
    let list = |wanted: bool| (wanted || what.both).then(|| vec![path.clone()]);
    let permissions = Permissions { read: list(what.read), write: list(what.write) };
    let after = auth.change_role_permissions(&name, permissions, grant).await;
    let unchanged = after.map_err(CommandError::without_prefix)? == before;
    let word = if grant { "granted" } else { "revoked" };
    // No newline behind the first: etcdctl prints none.
    let note = if unchanged { format!("Role unchanged; already {word}") } else { String::new() };
    Ok(format!("{note}Role {name} updated\n"))
}

/// Returns the path in canonical form: absolute, without empty, `.` or `..` parts; keeps a final slash.
fn canonical(path: &str) -> String {
    String::from_utf8_lossy(&cleaned(path.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn a_path_is_canonicalized() {
        for (path, clean) in [
            ("/", "/"),
            ("//", "/"),
            ("a", "/a"),
            ("/a/", "/a/"),
            ("/a/*", "/a/*"),
            ("/a//b", "/a/b"),
            ("/a/./", "/a/"),
            ("/b/../c", "/c"),
            ("/../..", "/"),
            ("*", "/*"),
        ] {
            assert_eq!(canonical(path), clean);
        }
    }
}
