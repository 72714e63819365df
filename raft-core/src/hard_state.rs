//! The part of a replica's state that must be durable before it answers: term and vote.

use serde::{Deserialize, Serialize};

use crate::types::{ReplicaId, Term};

/// Term and vote, saved as one value (Raft figure 2, persistent state).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct HardState {
    /// The latest term this replica has seen.
    pub current_term: Term,
    /// Who got this replica's vote in that term, if anyone.
    pub voted_for: Option<ReplicaId>,
}
