//! `role add`, `get`, `list`, `remove`, `grant` and `revoke`.

use crate::client::cluster::Permissions;
use crate::protocol::cleaned;

use super::end::End;
use super::job::{Invocation, PermissionChange};
use super::print;
use super::session::{Session, no_words, texts};

pub(super) async fn list(call: &Invocation) -> Result<(), End> {
    no_words(call)?;
    let session = Session::open(call).await?;
    let roles = session.auth().roles().await.map_err(|error| End::bare(&error))?;
    print::out(roles.iter().map(|role| format!("{role}\n")).collect::<String>().as_bytes());
    Ok(())
}

pub(super) async fn add(call: &Invocation) -> Result<(), End> {
    let name = name(call)?;
    let session = Session::open(call).await?;
    let auth = session.auth();
    if auth.role(&name).await.is_ok() {
        return Err(End::usage(&format!("Role {name} already exists\n")));
    }
    auth.add_role(&name).await.map_err(|error| End::bare(&error))?;
    print::out(format!("Role {name} created\n").as_bytes());
    Ok(())
}

pub(super) async fn remove(call: &Invocation) -> Result<(), End> {
    let name = name(call)?;
    let session = Session::open(call).await?;
    session.auth().remove_role(&name).await.map_err(|error| End::bare(&error))?;
    print::out(format!("Role {name} removed\n").as_bytes());
    Ok(())
}

pub(super) async fn get(call: &Invocation) -> Result<(), End> {
    let name = name(call)?;
    let session = Session::open(call).await?;
    let role = session.auth().role(&name).await.map_err(|error| End::bare(&error))?;
    let lines = |list: Option<Vec<String>>| {
        list.into_iter().flatten().map(|pattern| format!("\t{pattern}\n")).collect::<String>()
    };
    let Permissions { read, write } = role.permissions;
    let text = format!("Role: {}\nKV Read:\n{}KV Write:\n{}", role.name, lines(read), lines(write));
    print::out(text.as_bytes());
    Ok(())
}

pub(super) async fn regrant(call: &Invocation, what: &PermissionChange, grant: bool) -> Result<(), End> {
    let path = &what.path;
    if path.is_empty() {
        return Err(End::usage("No path specified; please use `--path`\n"));
    }
    let clean = canonical(path);
    if clean != *path {
        return Err(End::usage(&format!("Not canonical path; please use `--path={clean}`\n")));
    }
    if [what.read, what.write, what.both].into_iter().filter(|given| *given).count() != 1 {
        return Err(End::usage("Please specify exactly one of --read, --write or --readwrite\n"));
    }
    let name = name(call)?;
    let session = Session::open(call).await?;
    let auth = session.auth();
    let before = auth.role(&name).await.map_err(|error| End::bare(&error))?;
    let list = |wanted: bool| (wanted || what.both).then(|| vec![path.clone()]);
    let permissions = Permissions { read: list(what.read), write: list(what.write) };
    let after = auth.regrant_role(&name, permissions, grant).await;
    if after.map_err(|error| End::bare(&error))? == before {
        let word = if grant { "granted" } else { "revoked" };
        // No newline here: etcdctl prints none.
        print::out(format!("Role unchanged; already {word}").as_bytes());
    }
    print::out(format!("Role {name} updated\n").as_bytes());
    Ok(())
}

fn name(call: &Invocation) -> Result<String, End> {
    match &mut texts(&call.words)[..] {
        [name] => Ok(std::mem::take(name)),
        _ => Err(End::usage("Please provide a role name\n")),
    }
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
