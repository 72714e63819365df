//! Members come and go while clients write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raft_kv::proto::etcdserverpb as pb;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::support::{TestCluster, get, put, values};

/// Writes to one member until it is told to stop; answers how often, or the first refusal.
struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<u64, tonic::Status>>,
}

impl Writer {
    async fn start(cluster: &TestCluster, place: usize) -> Self {
        let mut client = cluster.kv(place).await;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut written = 0;
            while !stopped.load(Ordering::Relaxed) {
                written += 1;
                client.put(put("counter", &written.to_string())).await?;
            }
            Ok(written)
        });
        Self { stop, task }
    }

    async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap().unwrap()
    }

    /// The error that ended it.
    async fn refusal(self) -> tonic::Status {
        self.task.await.unwrap().unwrap_err()
    }
}

fn addition(url: &str, is_learner: bool) -> pb::MemberAddRequest {
    pb::MemberAddRequest {
        peer_urls: vec![url.to_owned()],
        is_learner,
    }
}

/// The members as the one at `place` sees them, once `condition` holds of them.
async fn members_until(
    cluster: &TestCluster,
    place: usize,
    condition: impl Fn(&[pb::Member]) -> bool,
) -> Vec<pb::Member> {
    let mut client = cluster.members(place).await;
    loop {
        let listed = client.member_list(pb::MemberListRequest::default()).await;
        let members = listed.unwrap().into_inner().members;
        if condition(&members) {
            return members;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Removes the node at `place` through the one at `through`, as soon as enough
/// others answer the leader: just after a start they may not have.
async fn remove(cluster: &TestCluster, place: usize, through: usize) {
    let id = u64::try_from(place).unwrap() + 1;
    let mut members = cluster.members(through).await;
    while let Err(refusal) = members.member_remove(pb::MemberRemoveRequest { id }).await {
        let reason = refusal.message();
        assert!(reason.contains("not enough started members"), "{reason}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_votes_and_takes_the_place_of_the_leader_while_clients_write() {
    let mut cluster = TestCluster::start(3).await;
    let leader = cluster.leader().await;
    let other = (leader + 1) % 3;
    let writer = Writer::start(&cluster, other).await;

    // Added as it is usual with etcd: it is to vote, and does once it can.
    let url = TestCluster::free_peer_url();
    let mut members = cluster.members(other).await;
    let added = members.member_add(addition(&url, false)).await.unwrap();
    let id = added.into_inner().member.unwrap().id;
    assert_eq!(id, 4);
    let place = cluster.join(id, &url).await;
    let votes = |m: &pb::Member| m.id == id && !m.is_learner && m.name == "node-4";
    members_until(&cluster, other, |listed| listed.iter().any(votes)).await;

    // Wherever leadership is by now, but not where the clients write.
    let gone = cluster.leader_other_than(other).await;
    let gone_id = u64::try_from(gone).unwrap() + 1;
    let removal = pb::MemberRemoveRequest { id: gone_id };
    members.member_remove(removal).await.unwrap();
    let reason = cluster.failure(gone).await;
    assert!(reason.contains("was removed from its cluster"), "{reason}");
    cluster.stop(gone).await;

    let written = writer.finish().await;
    let read = cluster.kv(place).await.range(get("counter")).await.unwrap();
    assert_eq!(values(&read.into_inner()), [written.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_stays_one_until_it_is_promoted() {
    let mut cluster = TestCluster::start(3).await;
    let url = TestCluster::free_peer_url();
    let mut members = cluster.members(0).await;
    let added = members.member_add(addition(&url, true)).await.unwrap();
    let id = added.into_inner().member.unwrap().id;

    // Not running yet. It lacks little, but as long as it does not answer it cannot vote.
    let promotion = pb::MemberPromoteRequest { id };
    let too_early = members.member_promote(promotion).await.unwrap_err();
    assert_eq!(
        too_early.message(),
        "etcdserver: can only promote a learner member which is in sync with leader"
    );
    let reason = too_early.metadata().get("raft-kv-reason").unwrap();
    assert_eq!(reason, "n4 does not answer its leader");
    cluster.join(id, &url).await;
    let named = |m: &pb::Member| m.id == id && m.name == "node-4" && m.is_learner;
    members_until(&cluster, 0, |listed| listed.iter().any(named)).await;
    members.member_promote(promotion).await.unwrap();

    let again = members.member_promote(promotion).await;
    let refusal = again.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert_eq!(
        refusal.message(),
        "etcdserver: can only promote a learner member"
    );
}

/// Its clients can write the same again elsewhere: nothing they wrote is in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_that_is_removed_does_not_commit_it_refuses() {
    let mut cluster = TestCluster::start(3).await;
    let leader = cluster.leader().await;
    let other = (leader + 1) % 3;
    let writers = [
        Writer::start(&cluster, leader).await,
        Writer::start(&cluster, leader).await,
    ];

    remove(&cluster, leader, other).await;
    cluster.failure(leader).await;

    for writer in writers {
        let refusal = writer.refusal().await;
        assert_eq!(refusal.message(), "etcdserver: server stopped");
    }
    cluster.stop(leader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_that_is_started_again_says_so_and_ends() {
    let mut cluster = TestCluster::start(3).await;
    let gone = cluster.leader().await;
    let other = (gone + 1) % 3;
    remove(&cluster, gone, other).await;
    cluster.failure(gone).await;
    cluster.stop(gone).await;

    cluster.restart(gone).await;

    let reason = cluster.failure(gone).await;
    assert!(reason.contains("was removed from its cluster"), "{reason}");
    cluster.stop(gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_changes_are_refused_in_the_words_of_etcd() {
    let cluster = TestCluster::start(3).await;
    let mut members = cluster.members(0).await;
    let listed = members_until(&cluster, 0, |_| true).await;

    let taken = addition(&listed[1].peer_urls[0], true);
    let refusals = [
        members.member_add(taken).await.unwrap_err(),
        members
            .member_add(addition("nowhere", true))
            .await
            .unwrap_err(),
        members
            .member_remove(pb::MemberRemoveRequest { id: 77 })
            .await
            .unwrap_err(),
        members
            .member_promote(pb::MemberPromoteRequest { id: 77 })
            .await
            .unwrap_err(),
    ];

    let texts: Vec<_> = refusals.iter().map(|r| (r.code(), r.message())).collect();
    assert_eq!(
        texts,
        [
            (
                Code::FailedPrecondition,
                "etcdserver: Peer URLs already exists"
            ),
            (
                Code::InvalidArgument,
                "etcdserver: given member URLs are invalid"
            ),
            (Code::NotFound, "etcdserver: member not found"),
            (Code::NotFound, "etcdserver: member not found"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_where_an_operator_sends_it() {
    let cluster = TestCluster::start(3).await;
    let leader = cluster.leader().await;
    let target = (leader + 1) % 3;
    let target_id = u64::try_from(target).unwrap() + 1;
    let request = pb::MoveLeaderRequest { target_id };

    let elsewhere = cluster.maintenance(target).await.move_leader(request).await;
    assert_eq!(elsewhere.unwrap_err().message(), "etcdserver: not leader");
    let moved = cluster.maintenance(leader).await.move_leader(request).await;
    moved.unwrap();

    assert_eq!(cluster.leader().await, target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_vote_is_promoted_anew_and_votes_again() {
    let mut cluster = TestCluster::start(3).await;
    let leader = cluster.leader().await;
    let (lost, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let mut client = cluster.kv(other).await;
    client.put(put("key", "before")).await.unwrap();
    cluster.stop(lost).await;
    cluster.lose_vote(lost);

    cluster.restart(lost).await;
    let raft = cluster.node(lost).status().raft;
    assert_eq!(raft.replica.incarnation.get(), 1);
    assert!(raft.awaits_readmission());
    client.put(put("key", "during")).await.unwrap();
    // Until the leader has heard of it, it looks like any other voter.
    let id = raft.replica.node.get();
    let mut members = cluster.members(other).await;
    while let Err(refusal) = members
        .member_promote(pb::MemberPromoteRequest { id })
        .await
    {
        assert_eq!(refusal.code(), Code::FailedPrecondition, "{refusal}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let mut status = cluster.node(lost).watch();
    let votes = status.wait_for(|status| status.raft.membership.votes(raft.replica));
    votes.await.unwrap();
    // It is one of two now, without which nothing commits.
    let gone = cluster.node(leader).status().raft.replica.node;
    cluster.stop(leader).await;
    let mut status = cluster.node(other).watch();
    let replaced = status.wait_for(|status| status.raft.leader.is_some_and(|l| l != gone));
    replaced.await.unwrap();
    client.put(put("key", "after")).await.unwrap();
    let read = cluster.kv(lost).await.range(get("key")).await.unwrap();
    assert_eq!(values(&read.into_inner()), ["after"]);
}
