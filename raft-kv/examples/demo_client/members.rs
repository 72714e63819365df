//! What each member says of itself, and changes of who belongs to the cluster.
//!
//! A change that is refused prints `refused` and why, and is no failure of ours.

use std::time::Duration;

use anyhow::{Context, Result};
use raft_kv::proto::etcdserverpb::cluster_client::ClusterClient;
use raft_kv::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use raft_kv::proto::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    StatusRequest,
};
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::outcome::describe;
use super::{CONNECT_LIMIT, Members, channel};

/// Between two looks at who leads.
const GLANCE: Duration = Duration::from_millis(5);

/// One line per member that was asked.
pub(crate) async fn status(members: &Members) -> Result<()> {
    for endpoint in &members.endpoints {
        let mut client = MaintenanceClient::new(channel(endpoint)?);
        let answer = timeout(CONNECT_LIMIT * 2, client.status(StatusRequest {})).await;
        let Ok(Ok(answer)) = answer else {
            println!("endpoint={endpoint} down=1");
            continue;
        };
        let status = answer.into_inner();
        let header = status.header.unwrap_or_default();
        println!(
            "endpoint={endpoint} member={} leader={} term={} index={} applied={} revision={} \
             learner={} bytes={}",
            header.member_id,
            status.leader,
            status.raft_term,
            status.raft_index,
            status.raft_applied_index,
            header.revision,
            u8::from(status.is_learner),
            status.db_size,
        );
    }
    Ok(())
}

/// Returns when all members that were given name the same leader, another one than `not`.
pub(crate) async fn await_leader(members: &Members, not: u64) -> Result<()> {
    let clients: Result<Vec<_>> = members.endpoints.iter().map(|e| channel(e)).collect();
    let mut clients: Vec<_> = clients?.into_iter().map(MaintenanceClient::new).collect();
    loop {
        let mut named = Vec::new();
        for client in &mut clients {
            let answer = timeout(CONNECT_LIMIT, client.status(StatusRequest {})).await;
            let status = answer
                .ok()
                .and_then(Result::ok)
                .map(tonic::Response::into_inner);
            named.push(status.map(|status| (status.leader, status.raft_term)));
        }
        let agreed = named.first().copied().flatten();
        if let Some((leader, term)) = agreed
            && leader != 0
            && leader != not
            && named.iter().all(|named| *named == agreed)
        {
            println!("leader={leader} term={term}");
            return Ok(());
        }
        sleep(GLANCE).await;
    }
}

/// One line per member, as the first of those asked sees them.
pub(crate) async fn list(members: &Members) -> Result<()> {
    let request = MemberListRequest { linearizable: true };
    let answer = client(members)?.member_list(request).await?;
    print_members(&answer.into_inner().members);
    Ok(())
}

/// Adds a member that will be at `peer`.
pub(crate) async fn add(members: &Members, peer: &str, is_learner: bool) -> Result<()> {
    let request = MemberAddRequest {
        peer_urls: vec![format!("https://{peer}")],
        is_learner,
    };
    let answer = client(members)?.member_add(request).await;
    show(answer, |added| {
        let id = added.member.as_ref().map_or(0, |member| member.id);
        println!("added={id}");
    })
}

pub(crate) async fn promote(members: &Members, id: u64) -> Result<()> {
    let answer = client(members)?
        .member_promote(MemberPromoteRequest { id })
        .await;
    show(answer, |promoted| print_members(&promoted.members))
}

pub(crate) async fn remove(members: &Members, id: u64) -> Result<()> {
    let answer = client(members)?
        .member_remove(MemberRemoveRequest { id })
        .await;
    show(answer, |removed| print_members(&removed.members))
}

fn client(members: &Members) -> Result<ClusterClient<tonic::transport::Channel>> {
    members.first().map(ClusterClient::new)
}

fn show<T>(answer: Result<tonic::Response<T>, Status>, print: impl Fn(&T)) -> Result<()> {
    match answer {
        Ok(answer) => print(answer.get_ref()),
        Err(status) => println!("refused {}", describe(&status)),
    }
    Ok(())
}

fn print_members(members: &[Member]) {
    for member in members {
        let peer = member.peer_urls.first().context("no address");
        println!(
            "member={} name={} learner={} peer={}",
            member.id,
            member.name,
            u8::from(member.is_learner),
            peer.map_or("?", String::as_str),
        );
    }
}
