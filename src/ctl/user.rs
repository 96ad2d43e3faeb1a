//! `user add`, `get`, `list`, `remove`, `grant`, `revoke` and `passwd`.

use super::command::Invocation;
use super::error::CommandError;
use super::prompt;
use super::session::Session;

const NAME: &str = "Please provide a username\n";

pub(super) async fn list(call: &Invocation) -> Result<String, CommandError> {
    call.no_args()?;
    let users = Session::open(call).await?.auth().users().await.map_err(CommandError::without_prefix)?;
    Ok(users.iter().map(|user| format!("{user}\n")).collect())
}

pub(super) async fn add(call: &Invocation) -> Result<String, CommandError> {
    let word = call.only_arg(NAME)?;
    let session = Session::open(call).await?;
    let (name, password) = match word.split_once(':') {
        Some((name, password)) => (name.to_owned(), password.to_owned()),
        None => (word, prompt::secret("New password: ").await?),
    };
    session.auth().add_user(&name, &password).await.map_err(CommandError::without_prefix)?;
    Ok(format!("User {name} created\n"))
}

pub(super) async fn remove(call: &Invocation) -> Result<String, CommandError> {
    let name = call.only_arg(NAME)?;
    Session::open(call).await?.auth().remove_user(&name).await.map_err(CommandError::without_prefix)?;
    Ok(format!("User {name} removed\n"))
}

pub(super) async fn passwd(call: &Invocation) -> Result<String, CommandError> {
    let name = call.only_arg(NAME)?;
    let session = Session::open(call).await?;
    let password = prompt::secret("New password: ").await?;
    session.auth().change_password(&name, &password).await.map_err(CommandError::without_prefix)?;
    Ok("Password updated\n".to_owned())
}

pub(super) async fn change_roles(
    call: &Invocation,
    roles: &[String],
    grant: bool,
) -> Result<String, CommandError> {
    if roles.is_empty() {
        return Err(CommandError::usage("No roles specified; please use `--roles`\n"));
    }
    let name = call.only_arg(NAME)?;
    let session = Session::open(call).await?;
    session.auth().change_user_roles(&name, roles, grant).await.map_err(CommandError::without_prefix)?;
    Ok(format!("User {name} updated\n"))
}

pub(super) async fn get(call: &Invocation) -> Result<String, CommandError> {
    let name = call.only_arg(NAME)?;
    let user = Session::open(call).await?.auth().user(&name).await.map_err(CommandError::without_prefix)?;
    // etcdctl's client lists each role twice, once empty and once by name: hence one blank per role.
    let blanks = " ".repeat(user.roles.len());
    Ok(format!("User: {}\nRoles: {blanks}{}\n", user.name, user.roles.join(" ")))
}
