//! `user add`, `get`, `list`, `remove`, `grant`, `revoke` and `passwd`.

use super::end::End;
use super::job::Invocation;
use super::print;
use super::prompt;
use super::session::{Session, no_words, texts};

pub(super) async fn list(call: &Invocation) -> Result<(), End> {
    no_words(call)?;
    let session = Session::open(call).await?;
    let users = session.auth().users().await.map_err(|error| End::bare(&error))?;
    print::out(users.iter().map(|user| format!("{user}\n")).collect::<String>().as_bytes());
    Ok(())
}

pub(super) async fn add(call: &Invocation) -> Result<(), End> {
    let word = name(call)?;
    let session = Session::open(call).await?;
    let (name, password) = match word.split_once(':') {
        Some((name, password)) => (name.to_owned(), password.to_owned()),
        None => (word, prompt::secret("New password: ").await?),
    };
    session.auth().add_user(&name, &password).await.map_err(|error| End::bare(&error))?;
    print::out(format!("User {name} created\n").as_bytes());
    Ok(())
}

pub(super) async fn remove(call: &Invocation) -> Result<(), End> {
    let name = name(call)?;
    let session = Session::open(call).await?;
    session.auth().remove_user(&name).await.map_err(|error| End::bare(&error))?;
    print::out(format!("User {name} removed\n").as_bytes());
    Ok(())
}

pub(super) async fn passwd(call: &Invocation) -> Result<(), End> {
    let name = name(call)?;
    let session = Session::open(call).await?;
    let password = prompt::secret("New password: ").await?;
    session.auth().change_password(&name, &password).await.map_err(|error| End::bare(&error))?;
    print::out(b"Password updated\n");
    Ok(())
}

pub(super) async fn regrant(call: &Invocation, roles: &[String], grant: bool) -> Result<(), End> {
    if roles.is_empty() {
        return Err(End::usage("No roles specified; please use `--roles`\n"));
    }
    let name = name(call)?;
    let session = Session::open(call).await?;
    session.auth().regrant(&name, roles, grant).await.map_err(|error| End::bare(&error))?;
    print::out(format!("User {name} updated\n").as_bytes());
    Ok(())
}

pub(super) async fn get(call: &Invocation) -> Result<(), End> {
    let name = name(call)?;
    let session = Session::open(call).await?;
    let user = session.auth().user(&name).await.map_err(|error| End::bare(&error))?;
    // etcdctl's client lists each role twice, once empty and once by name: hence one blank per role.
    let blanks = " ".repeat(user.roles.len());
    print::out(format!("User: {}\nRoles: {blanks}{}\n", user.name, user.roles.join(" ")).as_bytes());
    Ok(())
}

fn name(call: &Invocation) -> Result<String, End> {
    match &mut texts(&call.words)[..] {
        [name] => Ok(std::mem::take(name)),
        _ => Err(End::usage("Please provide a username\n")),
    }
}
