//! `member list`, `add`, `remove` and `update`. Arguments are checked before any request is sent.

use crate::protocol::quoted;

use super::command::Invocation;
use super::error::CommandError;
use super::print;
use super::session::{Session, texts};

pub(super) async fn list(call: &Invocation) -> Result<String, CommandError> {
    call.no_args()?;
    let session = Session::open(call).await?;
    let members = session.members();
    let all = members.list().await.map_err(CommandError::without_prefix)?;
    let leader = members.leader().await;
    let leader = leader.map_err(|error| CommandError::usage(format!("Failed to get leader:  {error}\n")))?;
    let mut text = String::new();
    for member in all {
        let (id, peers) = (&member.id, member.peers.join(","));
        text.push_str(&if member.name.is_empty() {
            format!("{id}[unstarted]: peerURLs={peers}\n")
        } else {
            let clients = member.clients.join(",");
            let leads = *id == leader.id;
            format!("{id}: name={} peerURLs={peers} clientURLs={clients} isLeader={leads}\n", member.name)
        });
    }
    Ok(text)
}

pub(super) async fn add(call: &Invocation) -> Result<String, CommandError> {
    let args = texts(&call.args);
    let [name, url] = &args[..] else {
        return Err(CommandError::usage("Provide a name and a single member peerURL\n"));
    };
    let session = Session::open(call).await?;
    let members = session.members();
    let added = members.add(url).await.map_err(CommandError::without_prefix)?;
    print::out(&format!("Added member named {name} with ID {} to cluster\n", added.id));
    let all = members.list().await.map_err(CommandError::without_prefix)?;
    let mut initial = Vec::new();
    for member in &all {
        let own = if member.id == added.id { name } else { &member.name };
        initial.extend(member.peers.iter().map(|peer| format!("{own}={peer}")));
    }
    Ok(format!(
        "\nETCD_NAME={}\nETCD_INITIAL_CLUSTER={}\nETCD_INITIAL_CLUSTER_STATE=\"existing\"\n",
        quoted(name),
        quoted(&initial.join(","))
    ))
}

pub(super) async fn remove(call: &Invocation) -> Result<String, CommandError> {
    const PAGE: &str = "https://github.com/etcd-io/etcd/blob/master/Documentation/runtime-configuration.md\
                        #remove-a-member";
    let id = &call.only_arg("Provide a single member ID\n")?;
    let session = Session::open(call).await?;
    let members = session.members();
    let unverified = |error| format!("Error while verifying ID against known members: {error}\n");
    let all = members.list().await.map_err(|error| CommandError::usage(unverified(error)))?;
    for member in all.iter().filter(|member| member.name == *id) {
        print::error(&format!(
            "Found a member named {}; if this is correct, please use its ID, eg:\n\tetcdctl member remove {}\n\
             For more details, read the documentation at {PAGE}\n\n",
            member.name, member.id
        ));
    }
    if !all.iter().any(|member| member.id == *id) {
        return Err(CommandError::usage(format!(
            "Couldn't find a member in the cluster with an ID of {id}.\n"
        )));
    }
    // No newline here: etcdctl prints none.
    let refused =
        |error| CommandError::usage(format!("Received an error trying to remove member {id}: {error}"));
    members.remove(id).await.map_err(refused)?;
    Ok(format!("Removed member {id} from cluster\n"))
}

pub(super) async fn update(call: &Invocation) -> Result<String, CommandError> {
    let args = texts(&call.args);
    let [id, urls] = &args[..] else {
        return Err(CommandError::usage(
            "Provide an ID and a list of comma separated peerURL (0xabcd http://example.com,http://example1.com)\n",
        ));
    };
    let session = Session::open(call).await?;
    let peers: Vec<&str> = urls.split(',').collect();
    session.members().update(id, &peers).await.map_err(CommandError::without_prefix)?;
    Ok(format!("Updated member with ID {id} in cluster\n"))
}
