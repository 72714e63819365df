//! What a node does for the membership by itself: it makes its own address and
//! name known, and as leader it lets learners vote that are to.

use std::time::Duration;

use raft_core::node::{Node, NodeStatus};
use raft_core::protocol::RoleKind;
use raft_core::{MemberInfo, MembershipChange, NodeId};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info};

use crate::member::{self, MemberContext};

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(250);

/// Looks after the membership until it is aborted. `own` is what the membership
/// is to say of this node.
pub(crate) async fn members(node: Node, own: MemberInfo) {
    let mut clock = interval(PERIOD);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_known = false;
    loop {
        clock.tick().await;
        let status = node.status();
        if !is_known {
            is_known = make_known(&node, &status, &own).await;
        }
        for learner in learners_to_promote(&status) {
            let change = MembershipChange::new().promote(learner);
            match node.change_membership(change).await {
                Ok(_) => info!(%learner, "has caught up and votes now"),
                // It has not caught up, or something else changes: look again.
                Err(error) => debug!(%learner, %error, "does not vote yet"),
            }
        }
    }
}

/// Says so once the node, which was a member, is none any more.
pub(crate) async fn notice_removal(node: Node, is_removed: watch::Sender<bool>) {
    let mut status = node.watch();
    let removed = status.wait_for(|status| member::is_removed(&status.raft));
    if removed.await.is_ok() {
        is_removed.send_replace(true);
    }
    // Whoever waits for the word must not take the end of this task for it.
    is_removed.closed().await;
}

/// Has the membership say what it should of this node. Answers whether it does.
async fn make_known(node: &Node, status: &NodeStatus, own: &MemberInfo) -> bool {
    let raft = &status.raft;
    let id = raft.replica.node;
    let Some(listed) = raft.membership.members().get(&id) else {
        return false;
    };
    if raft.leader.is_none() || !raft.membership.contains(raft.replica) {
        return false;
    }
    let wanted = with_intent_of(listed, own);
    if *listed == wanted {
        return true;
    }
    match node
        .change_membership(MembershipChange::new().update(id, wanted))
        .await
    {
        Ok(_) => info!(
            address = own.address,
            "the members know this node's address"
        ),
        Err(error) => debug!(%error, "the members do not know this node's address yet"),
    }
    false
}

/// What the node says of itself, and what was decided about it.
fn with_intent_of(listed: &MemberInfo, own: &MemberInfo) -> MemberInfo {
    let context = MemberContext {
        promote: MemberContext::of(listed).promote,
        ..MemberContext::of(own)
    };
    MemberInfo {
        incarnation: listed.incarnation,
        address: own.address.clone(),
        context: context.to_bytes(),
    }
}

/// On the leader, learners that are to vote and may be able to.
fn learners_to_promote(status: &NodeStatus) -> Vec<NodeId> {
    let raft = &status.raft;
    if raft.role != RoleKind::Leader || raft.membership.is_joint() {
        return Vec::new();
    }
    let wants_vote = |node: &NodeId| {
        let info = &raft.membership.members()[node];
        let follower = raft.followers.iter().find(|f| f.replica.node == *node);
        MemberContext::of(info).promote && follower.is_some_and(|f| f.is_active)
    };
    raft.membership.learners().filter(wants_vote).collect()
}
