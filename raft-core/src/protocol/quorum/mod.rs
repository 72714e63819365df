//! What a quorum of a membership has decided or reached (Raft §5.2, §5.3, §6).
//!
//! Pure functions of a membership and of what each voter said.

mod joint;
mod majority;
#[cfg(test)]
pub(super) mod oracle;
#[cfg(test)]
mod tests;

pub(crate) use joint::{reached_by_quorum, vote_result};

/// Where a vote stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum VoteResult {
    /// A quorum said yes.
    Won,
    /// So many said no that a quorum cannot say yes any more.
    Lost,
    /// Neither yet.
    Pending,
}
