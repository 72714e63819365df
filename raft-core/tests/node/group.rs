//! What operators do to a running group: members, leaders, snapshots.

use std::time::Duration;

use raft_core::node::Node;
use raft_core::{
    ChangeMembershipError, Consistency, MemberInfo, MembershipChange, NodeId, StableState,
    TransferError,
};

use crate::hosts::{Host, command, hosts, leader_of, start_all, wait_until};

const FOUR: NodeId = NodeId::new(4);

fn learner_four() -> MembershipChange {
    MembershipChange::new().add_learner(FOUR, MemberInfo::default())
}

/// Keeps next to nothing of the log, so that who joins needs a snapshot.
async fn group_with_short_logs() -> (Vec<Host>, Vec<Node>) {
    let (_, mut hosts) = hosts(3);
    for host in &mut hosts {
        host.adjust = |config| {
            config.checkpoint_entries = 10;
            config.keep_entries = 4;
            config.max_kept_entries = 4;
        };
    }
    let nodes = start_all(&hosts).await;
    (hosts, nodes)
}

async fn write_some(node: &Node, count: usize) {
    for _ in 0..count {
        let written = node.propose(command("x")).await;
        written.expect("the group writes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_joins_learns_votes_and_replaces_the_leader() {
    let (_, mut hosts) = hosts(3);
    let mut nodes = start_all(&hosts).await;
    let leader = leader_of(&nodes).await;
    let leader_id = nodes[leader].status().raft.replica.node;
    write_some(&nodes[0], 5).await;

    // From a follower, which asks the leader.
    let asked = (leader + 1) % 3;
    hosts.push(hosts[0].newcomer(4));
    nodes.push(hosts[3].start().await);
    nodes[asked]
        .change_membership(learner_four())
        .await
        .unwrap();
    let goal = nodes[leader].status().raft.commit_index;
    wait_until(&nodes[3], |status| status.raft.last_applied >= goal).await;
    let replaced = MembershipChange::new().promote(FOUR).remove(leader_id);
    let changed = nodes[asked].change_membership(replaced).await.unwrap();

    assert!(!changed.membership.is_joint());
    assert!(changed.membership.is_voter(FOUR) && !changed.membership.is_voter(leader_id));
    nodes.remove(leader);
    leader_of(&nodes).await;
    write_some(&nodes[0], 5).await;
    nodes[2].read(Consistency::Linearizable).await.unwrap();
    assert_eq!(hosts[3].state.commands().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_learner_far_behind_is_not_promoted_and_the_error_says_how_far() {
    let (_, mut hosts) = hosts(3);
    for host in &mut hosts {
        host.adjust = |config| config.max_promotion_lag = 3;
    }
    let nodes = start_all(&hosts).await;
    let leader = leader_of(&nodes).await;
    write_some(&nodes[leader], 10).await;

    // Nobody runs as node 4.
    nodes[leader]
        .change_membership(learner_four())
        .await
        .unwrap();
    let promoted = nodes[leader]
        .change_membership(MembershipChange::new().promote(FOUR))
        .await;

    let refusal = ChangeMembershipError::NotCaughtUp {
        node: FOUR,
        behind: 12,
        allowed: 3,
    };
    assert_eq!(promoted, Err(refusal));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_joins_late_catches_up_by_snapshot_while_writes_go_on() {
    let (mut hosts, mut nodes) = group_with_short_logs().await;
    let leader = leader_of(&nodes).await;
    write_some(&nodes[leader], 100).await;
    wait_until(&nodes[leader], |status| status.raft.purged.index.get() > 50).await;

    hosts.push(hosts[0].newcomer(4));
    nodes.push(hosts[3].start().await);
    nodes[leader]
        .change_membership(learner_four())
        .await
        .unwrap();
    write_some(&nodes[leader], 50).await;

    let goal = nodes[leader].status().raft.commit_index;
    wait_until(&nodes[3], |status| status.raft.last_applied >= goal).await;
    assert_eq!(hosts[3].state.commands().len(), 150);
    assert!(nodes[3].status().raft.purged.index.get() > 0);
    nodes[3].propose(command("from the new one")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_got_a_snapshot_starts_again_from_it() {
    let (mut hosts, mut nodes) = group_with_short_logs().await;
    let leader = leader_of(&nodes).await;
    write_some(&nodes[leader], 100).await;
    hosts.push(hosts[0].newcomer(4));
    nodes.push(hosts[3].start().await);
    nodes[leader]
        .change_membership(learner_four())
        .await
        .unwrap();
    let goal = nodes[leader].status().raft.commit_index;
    wait_until(&nodes[3], |status| status.raft.last_applied >= goal).await;

    nodes[3].shutdown().await;
    // As if the crash had come between the state machine's restore and the log's reset.
    let bounds = hosts[3].log.bounds().await.unwrap();
    assert!(matches!(
        hosts[3].stable.load().await.unwrap(),
        StableState::Saved(_)
    ));
    hosts[3].log.reset(raft_core::LogId::ZERO).await.unwrap();
    let again = hosts[3].start().await;

    write_some(&nodes[leader], 5).await;
    let goal = nodes[leader].status().raft.commit_index;
    wait_until(&again, |status| status.raft.last_applied >= goal).await;
    assert!(again.status().raft.purged >= bounds.purged);
    assert_eq!(hosts[3].state.commands().len(), 105);
}

#[tokio::test(start_paused = true)]
async fn leadership_goes_where_it_is_sent_and_no_write_fails_meanwhile() {
    let (_, hosts) = hosts(3);
    let nodes = start_all(&hosts).await;
    let leader = leader_of(&nodes).await;
    let next = (leader + 1) % 3;
    let target = nodes[next].status().raft.replica.node;

    let writer = {
        let node = nodes[leader].clone();
        tokio::spawn(async move {
            for _ in 0..200 {
                node.propose(command("x")).await?;
            }
            Ok::<_, raft_core::ProposeError>(())
        })
    };
    let transferred = nodes[leader].transfer_leadership(Some(target)).await;

    assert_eq!(transferred, Ok(target));
    wait_until(&nodes[next], |status| status.raft.leader == Some(target)).await;
    writer.await.unwrap().unwrap();
    let refused = nodes[leader].transfer_leadership(None).await;
    let leader = Some(target);
    assert_eq!(refused, Err(TransferError::NotLeader { leader }));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_shut_down_hands_over_first() {
    let (_, hosts) = hosts(3);
    let mut nodes = start_all(&hosts).await;
    let leader = leader_of(&nodes).await;
    let old = nodes.remove(leader);

    old.shutdown().await;

    // Sooner than any election timeout: nobody waited for one.
    let asked_at = tokio::time::Instant::now();
    nodes[0].propose(command("x")).await.unwrap();
    assert!(asked_at.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn lease_reads_and_local_reads_are_served_by_every_node() {
    let (_, hosts) = hosts(3);
    let nodes = start_all(&hosts).await;
    leader_of(&nodes).await;
    let written = nodes[0].propose(command("x")).await.unwrap();

    for node in &nodes {
        let by_lease = node.read(Consistency::Lease).await.unwrap();
        assert!(by_lease >= written.log_id.index);
        let local = node.read(Consistency::Stale).await.unwrap();
        assert!(local >= by_lease);
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_on_request_cuts_the_log() {
    let (_, mut hosts) = hosts(1);
    hosts[0].adjust = |config| config.keep_entries = 2;
    let node = hosts[0].start().await;
    leader_of(std::slice::from_ref(&node)).await;
    write_some(&node, 20).await;

    let durable = node.checkpoint().await.unwrap();

    assert_eq!(durable.get(), 21);
    wait_until(&node, |status| status.raft.purged.index.get() == 19).await;
}
