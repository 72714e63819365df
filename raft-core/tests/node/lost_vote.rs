//! A node whose vote is lost: it starts in its next life, without a vote, and is
//! readmitted (P14).

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use raft_core::memory::MemoryStableStore;
use raft_core::node::{Node, NodeError};
use raft_core::protocol::RoleKind;
use raft_core::{
    HardState, Incarnation, MembershipChange, NodeId, ReplicaId, SavedVote, StableState,
    StableStore, StorageError, Term, async_trait,
};

use crate::hosts::{Host, command, hosts, leader_of, start_all, wait_until};

/// A vote store that says what a test wants, and forgets nothing that is saved.
struct Saying {
    says: StableState,
    saved: Mutex<Vec<SavedVote>>,
}

impl Saying {
    fn new(says: StableState) -> Arc<Self> {
        Arc::new(Self {
            says,
            saved: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SavedVote>> {
        self.saved.lock().expect("no holder of this lock panics")
    }

    fn saved(&self) -> Vec<SavedVote> {
        self.lock().clone()
    }
}

#[async_trait]
impl StableStore for Saying {
    async fn load(&self) -> Result<StableState, StorageError> {
        Ok(self.says.clone())
    }

    async fn save(&self, vote: SavedVote) -> Result<(), StorageError> {
        self.lock().push(vote);
        Ok(())
    }
}

fn lost(life: Option<u64>) -> StableState {
    StableState::Lost {
        incarnation: life.map(Incarnation::new),
        reason: "the file is gone".into(),
    }
}

fn life(node: u64, number: u64) -> ReplicaId {
    ReplicaId {
        node: NodeId::new(node),
        incarnation: Incarnation::new(number),
    }
}

/// A running group of three that wrote something, and the place of a follower.
async fn group() -> (Vec<Host>, Vec<MemoryStableStore>, Vec<Node>, usize) {
    let (_, mut hosts) = hosts(3);
    let mut votes = Vec::new();
    for host in &mut hosts {
        let vote = MemoryStableStore::new();
        host.stable = Arc::new(vote.clone());
        votes.push(vote);
    }
    let nodes = start_all(&hosts).await;
    let follower = (leader_of(&nodes).await + 1) % 3;
    let written = nodes[0].propose(command("before")).await;
    written.expect("the group writes");
    let goal = nodes[0].status().raft.commit_index;
    wait_until(&nodes[follower], |s| s.raft.last_applied >= goal).await;
    (hosts, votes, nodes, follower)
}

/// Stops the node, loses its vote, and starts it again.
async fn lose_vote(host: &Host, vote: &MemoryStableStore, node: &mut Node) {
    node.shutdown().await;
    vote.lose();
    *node = host.start().await;
}

/// Takes the node in again as operators do: demoted, readmitted, promoted.
async fn readmit(asked: &Node, node: &Node) {
    let id = node.status().raft.replica.node;
    let change = MembershipChange::new;
    let demoted = asked.change_membership(change().demote(id)).await;
    demoted.expect("a voter can be demoted");
    // Until the leader has heard of the later life.
    while asked.change_membership(change().readmit(id)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let goal = asked.status().raft.commit_index;
    wait_until(node, |status| status.raft.last_applied >= goal).await;
    while asked.change_membership(change().promote(id)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_vote_begins_a_life_that_is_durable_before_the_node_runs() {
    let (_, mut hosts) = hosts(3);
    let vote = Saying::new(lost(Some(4)));
    hosts[0].stable = vote.clone();

    let node = hosts[0].start().await;

    let first = SavedVote {
        incarnation: Incarnation::new(5),
        hard_state: HardState::default(),
    };
    assert_eq!(vote.saved(), [first]);
    assert_eq!(node.config().replica, life(1, 5));
    assert!(node.status().raft.awaits_readmission());
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_lost_life_is_not_known_does_not_start() {
    let (_, mut hosts) = hosts(1);
    let vote = Saying::new(lost(None));
    hosts[0].stable = vote.clone();

    let error = hosts[0].try_start().await.unwrap_err();

    assert!(matches!(error, NodeError::VoteLost { .. }), "{error}");
    let advice = "remove it from its group";
    assert!(error.to_string().contains(advice), "{error}");
    assert!(vote.saved().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_vote_of_an_earlier_life_than_the_configured_one_is_refused() {
    let (_, mut hosts) = hosts(1);
    let earlier = SavedVote {
        incarnation: Incarnation::new(1),
        hard_state: HardState::default(),
    };
    for says in [StableState::Saved(earlier), lost(Some(1))] {
        hosts[0].stable = Saying::new(says);
        hosts[0].adjust = |config| config.replica.incarnation = Incarnation::new(2);

        let error = hosts[0].try_start().await.unwrap_err();

        assert!(matches!(error, NodeError::EarlierLife { .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_life_keeps_its_data_and_has_no_vote() {
    let (hosts, votes, mut nodes, lost) = group().await;
    let term = nodes[lost].status().raft.term();

    lose_vote(&hosts[lost], &votes[lost], &mut nodes[lost]).await;

    let status = nodes[lost].status();
    assert_eq!(hosts[lost].state.commands(), ["before"]);
    assert_eq!(status.raft.replica, life(hosts[lost].id, 1));
    assert_eq!(status.raft.hard_state.voted_for, None);
    assert_eq!(status.raft.term(), term);
    // The others are a majority of the three voters, and go on.
    let leader = leader_of(&[nodes[(lost + 1) % 3].clone(), nodes[(lost + 2) % 3].clone()]).await;
    nodes[(lost + 1 + leader) % 3]
        .propose(command("during"))
        .await
        .unwrap();

    // Without a majority, the later life neither votes nor campaigns.
    nodes[(lost + 1) % 3].shutdown().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let rest = [&nodes[lost], &nodes[(lost + 2) % 3]].map(|node| node.status().raft);
    assert!(rest.iter().all(|raft| raft.role != RoleKind::Leader));
    assert_eq!(rest[0].hard_state.voted_for, None);
    assert_eq!(rest[0].term(), term);
}

#[tokio::test(start_paused = true)]
async fn a_leader_names_the_life_that_can_be_readmitted() {
    let (hosts, votes, mut nodes, lost) = group().await;
    lose_vote(&hosts[lost], &votes[lost], &mut nodes[lost]).await;

    let leader = nodes
        .iter()
        .find(|n| n.status().raft.role == RoleKind::Leader);
    let id = NodeId::new(hosts[lost].id);

    wait_until(leader.unwrap(), |status| {
        let mut followers = status.raft.followers.iter();
        followers.any(|f| f.replica.node == id && f.latest_life == Some(Incarnation::new(1)))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_readmitted_life_votes_again() {
    let (hosts, votes, mut nodes, lost) = group().await;
    lose_vote(&hosts[lost], &votes[lost], &mut nodes[lost]).await;
    let (one, other) = ((lost + 1) % 3, (lost + 2) % 3);
    nodes[one].propose(command("during")).await.unwrap();

    readmit(&nodes[one], &nodes[lost]).await;

    assert!(!nodes[lost].status().raft.awaits_readmission());
    let replica = life(hosts[lost].id, 1);
    wait_until(&nodes[lost], |s| s.raft.membership.votes(replica)).await;
    // With one of the two others it is a majority, and elects.
    nodes[other].shutdown().await;
    let pair = [nodes[lost].clone(), nodes[one].clone()];
    leader_of(&pair).await;
    nodes[lost].propose(command("after")).await.unwrap();
    wait_until(&nodes[lost], |s| s.raft.last_applied == s.raft.commit_index).await;
    assert_eq!(hosts[lost].state.commands(), ["before", "during", "after"]);
}

#[tokio::test(start_paused = true)]
async fn a_later_life_is_what_every_later_start_finds() {
    let (hosts, votes, mut nodes, lost) = group().await;
    lose_vote(&hosts[lost], &votes[lost], &mut nodes[lost]).await;

    nodes[lost].shutdown().await;
    nodes[lost] = hosts[lost].start().await;

    assert_eq!(nodes[lost].config().replica, life(hosts[lost].id, 1));
}

#[tokio::test(start_paused = true)]
async fn a_vote_that_is_lost_again_begins_one_more_life() {
    let (hosts, votes, mut nodes, lost) = group().await;
    lose_vote(&hosts[lost], &votes[lost], &mut nodes[lost]).await;
    readmit(&nodes[(lost + 1) % 3], &nodes[lost]).await;

    lose_vote(&hosts[lost], &votes[lost], &mut nodes[lost]).await;
    assert_eq!(nodes[lost].config().replica, life(hosts[lost].id, 2));
    assert!(nodes[lost].status().raft.awaits_readmission());
    readmit(&nodes[(lost + 1) % 3], &nodes[lost]).await;

    nodes[lost].propose(command("after")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_later_life_begins_in_the_term_of_what_the_node_holds() {
    let (hosts, votes, mut nodes, lost) = group().await;
    lose_vote(&hosts[lost], &votes[lost], &mut nodes[lost]).await;

    let raft = nodes[lost].status().raft;

    assert!(raft.term() > Term::new(0));
    assert_eq!(raft.term(), raft.last_log.term);
}
