//! Which life of its node a replica lives, as its vote store and its
//! configuration say, and how the next one begins when a vote is lost.
//!
//! A node whose vote is gone may have voted in any term, so it must never vote
//! again as who it was. It keeps its log and its state, which are as good as
//! ever, and goes on as another replica: the next life of its node, which no
//! membership names, so that it has no vote until the group gives it one.

use super::error::NodeError;
use crate::hard_state::HardState;
use crate::stable_store::{SavedVote, StableState, StableStore};
use crate::types::{Incarnation, ReplicaId, Term};

/// What the vote store says of the replica.
#[derive(Debug)]
pub(super) enum Life {
    /// It goes on, or begins for the first time.
    Known(ReplicaId, HardState),
    /// Its vote is lost, and this is its next life.
    Next(ReplicaId),
}

/// Reads which life it is. `configured` is the one that the node began with.
pub(super) async fn read(
    configured: ReplicaId,
    stable: &dyn StableStore,
) -> Result<Life, NodeError> {
    let state = stable
        .load()
        .await
        .map_err(|source| NodeError::storage("reading term and vote", source))?;
    let found = match &state {
        StableState::Saved(vote) => Some(vote.incarnation),
        StableState::Lost { incarnation, .. } => *incarnation,
        StableState::Empty => None,
    };
    if found.is_some_and(|found| found < configured.incarnation) {
        return Err(NodeError::EarlierLife {
            replica: configured,
            found: found.unwrap_or_default(),
        });
    }
    match state {
        StableState::Empty => Ok(Life::Known(configured, HardState::default())),
        StableState::Saved(vote) => {
            let replica = in_life(configured, vote.incarnation);
            Ok(Life::Known(replica, vote.hard_state))
        }
        StableState::Lost {
            incarnation,
            reason,
        } => next(configured, incarnation, reason),
    }
}

/// The life after the one whose vote is lost, if it is known which that was.
fn next(
    configured: ReplicaId,
    lost: Option<Incarnation>,
    reason: String,
) -> Result<Life, NodeError> {
    let number = lost.and_then(|lost| lost.get().checked_add(1));
    let Some(number) = number else {
        return Err(NodeError::VoteLost {
            replica: configured,
            reason,
        });
    };
    let replica = in_life(configured, Incarnation::new(number));
    tracing::error!(
        reason,
        %replica,
        "the vote is lost, so this node must not vote as who it was; it keeps its data and goes \
         on as a replica without a vote, until the group readmits it"
    );
    Ok(Life::Next(replica))
}

const fn in_life(replica: ReplicaId, incarnation: Incarnation) -> ReplicaId {
    ReplicaId {
        node: replica.node,
        incarnation,
    }
}

/// Makes the next life durable, in the term of whatever the node holds. Nothing
/// is written or sent before: a crash leaves the old life lost or the new one begun.
pub(super) async fn begin(
    replica: ReplicaId,
    current_term: Term,
    stable: &dyn StableStore,
) -> Result<HardState, NodeError> {
    let hard_state = HardState {
        current_term,
        voted_for: None,
    };
    let vote = SavedVote {
        incarnation: replica.incarnation,
        hard_state,
    };
    stable
        .save(vote)
        .await
        .map_err(|source| NodeError::storage("beginning the next life", source))?;
    Ok(hard_state)
}
