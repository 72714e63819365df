//! The driver with in-memory backends, in paused time.

mod endings;
mod faults;
mod group;
mod hosts;
mod lost_vote;
mod streams;

use bytes::Bytes;
use raft_core::node::Node;
use raft_core::{Consistency, NodeId, ProposeError, ReadError};

use crate::hosts::{command, hosts, leader_of, start_all, wait_until};

#[tokio::test(start_paused = true)]
async fn proposals_on_every_node_reach_every_state_machine() {
    let (_, hosts) = hosts(3);
    let nodes = start_all(&hosts).await;
    leader_of(&nodes).await;

    for (node, text) in nodes.iter().zip(["a", "b", "c"]) {
        node.propose(command(text)).await.unwrap();
    }
    for node in &nodes {
        node.read(Consistency::Linearizable).await.unwrap();
    }

    for host in &hosts {
        assert_eq!(host.state.commands(), ["a", "b", "c"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_is_the_state_machines_own() {
    let (_, hosts) = hosts(1);
    let node = hosts[0].start().await;
    leader_of(std::slice::from_ref(&node)).await;

    node.propose(command("a")).await.unwrap();
    let second = node.propose(command("b")).await.unwrap();

    assert_eq!(second.response[..], 2u64.to_be_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_is_replaced_and_comes_back() {
    let (hub, hosts) = hosts(3);
    let nodes = start_all(&hosts).await;
    let old = leader_of(&nodes).await;
    nodes[old].propose(command("before")).await.unwrap();

    hub.isolate(NodeId::new(hosts[old].id));
    let others: Vec<Node> = nodes
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != old)
        .map(|(_, n)| n.clone())
        .collect();
    let old_id = NodeId::new(hosts[old].id);
    for other in &others {
        wait_until(other, |s| {
            s.raft.leader.is_some_and(|leader| leader != old_id)
        })
        .await;
    }
    others[0].propose(command("during")).await.unwrap();
    assert!(
        nodes[old].read(Consistency::Linearizable).await.is_err(),
        "a deposed leader serves no read"
    );

    hub.heal();
    leader_of(&nodes).await;
    nodes[old].propose(command("after")).await.unwrap();
    for node in &nodes {
        node.read(Consistency::Linearizable).await.unwrap();
    }
    for host in &hosts {
        assert_eq!(host.state.commands(), ["before", "during", "after"]);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_proposals_end_and_leave_no_doubt_about_refusals() {
    let (hub, hosts) = hosts(3);
    let nodes = start_all(&hosts).await;
    let leader = leader_of(&nodes).await;
    hub.isolate(NodeId::new(hosts[leader].id));

    let appended = nodes[leader].propose(command("alone")).await;
    wait_until(&nodes[leader], |status| status.raft.leader.is_none()).await;
    let refused = nodes[leader].propose(command("refused")).await;

    assert!(
        matches!(appended, Err(ProposeError::Unknown { .. })),
        "{appended:?}"
    );
    assert_eq!(refused, Err(ProposeError::NoLeader));
    assert_eq!(
        nodes[leader].read(Consistency::Linearizable).await,
        Err(ReadError::NoLeader)
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_stopped_goes_on_where_it_was() {
    let (_, hosts) = hosts(3);
    let nodes = start_all(&hosts).await;
    leader_of(&nodes).await;
    nodes[0].propose(command("a")).await.unwrap();
    for node in &nodes {
        node.shutdown().await;
    }

    let nodes = start_all(&hosts).await;
    leader_of(&nodes).await;
    nodes[1].propose(command("b")).await.unwrap();
    nodes[2].read(Consistency::Linearizable).await.unwrap();

    assert_eq!(hosts[2].state.commands(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_answers_that_it_is_stopped() {
    let (_, hosts) = hosts(1);
    let node = hosts[0].start().await;
    node.shutdown().await;

    assert_eq!(node.propose(command("a")).await, Err(ProposeError::Stopped));
    assert_eq!(
        node.read(Consistency::Linearizable).await,
        Err(ReadError::Stopped)
    );
    assert!(!node.status().is_running);
}

#[tokio::test(start_paused = true)]
async fn many_proposals_at_once_all_end_and_are_applied_once() {
    let (_, hosts) = hosts(3);
    let nodes = start_all(&hosts).await;
    leader_of(&nodes).await;

    let tasks: Vec<_> = (0..600u32)
        .map(|number| {
            let node = nodes[number as usize % 3].clone();
            let command = Bytes::copy_from_slice(&number.to_be_bytes());
            tokio::spawn(async move { node.propose(command).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }

    for (node, host) in nodes.iter().zip(&hosts) {
        node.read(Consistency::Linearizable).await.unwrap();
        let mut commands = host.state.commands();
        commands.sort();
        let expected: Vec<_> = (0..600u32).map(|n| n.to_be_bytes().to_vec()).collect();
        assert_eq!(commands, expected);
    }
}
