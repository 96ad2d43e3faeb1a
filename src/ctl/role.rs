//! `role add`, `get`, `list`, `remove`, `grant` and `revoke`.

use crate::client::cluster::Permissions;
use crate::protocol::cleaned;

use super::end::End;
use super::job::{Invocation, PermissionChange};
use super::session::Session;

const NAME: &str = "Please provide a role name\n";

pub(super) async fn list(call: &Invocation) -> Result<String, End> {
    call.no_words()?;
    let roles = Session::open(call).await?.auth().roles().await.map_err(End::bare)?;
    Ok(roles.iter().map(|role| format!("{role}\n")).collect())
}

pub(super) async fn add(call: &Invocation) -> Result<String, End> {
    let name = call.only_word(NAME)?;
    let session = Session::open(call).await?;
    let auth = session.auth();
    if auth.role(&name).await.is_ok() {
        return Err(End::usage(format!("Role {name} already exists\n")));
    }
    auth.add_role(&name).await.map_err(End::bare)?;
    Ok(format!("Role {name} created\n"))
}

pub(super) async fn remove(call: &Invocation) -> Result<String, End> {
    let name = call.only_word(NAME)?;
    Session::open(call).await?.auth().remove_role(&name).await.map_err(End::bare)?;
    Ok(format!("Role {name} removed\n"))
}

pub(super) async fn get(call: &Invocation) -> Result<String, End> {
    let name = call.only_word(NAME)?;
    let role = Session::open(call).await?.auth().role(&name).await.map_err(End::bare)?;
    let lines = |list: Option<Vec<String>>| {
        list.into_iter().flatten().map(|pattern| format!("\t{pattern}\n")).collect::<String>()
    };
    let Permissions { read, write } = role.permissions;
    Ok(format!("Role: {}\nKV Read:\n{}KV Write:\n{}", role.name, lines(read), lines(write)))
}

pub(super) async fn regrant(call: &Invocation, what: &PermissionChange, grant: bool) -> Result<String, End> {
    let path = &what.path;
    if path.is_empty() {
        return Err(End::usage("No path specified; please use `--path`\n"));
    }
    let clean = canonical(path);
    if clean != *path {
        return Err(End::usage(format!("Not canonical path; please use `--path={clean}`\n")));
    }
    if [what.read, what.write, what.both].into_iter().filter(|given| *given).count() != 1 {
        return Err(End::usage("Please specify exactly one of --read, --write or --readwrite\n"));
    }
    let name = call.only_word(NAME)?;
    let session = Session::open(call).await?;
    let auth = session.auth();
    let before = auth.role(&name).await.map_err(End::bare)?;
    let list = |wanted: bool| (wanted || what.both).then(|| vec![path.clone()]);
    let permissions = Permissions { read: list(what.read), write: list(what.write) };
    let after = auth.regrant_role(&name, permissions, grant).await;
    let unchanged = after.map_err(End::bare)? == before;
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
    fn a_path_becomes_canonical() {
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
