//! What always holds of a replica, and of each step it makes.
//!
//! Checked after every step, in release too: better to stop than to lose a write.

use super::Raft;
use super::role::Role;
use crate::hard_state::HardState;
use crate::protocol::status::RoleKind;
use crate::types::{LogId, LogIndex};

/// What a step may change in one direction only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    hard_state: HardState,
    role: RoleKind,
    commit_index: LogIndex,
    last_applied: LogIndex,
    last_log: LogId,
}

impl Before {
    pub(super) fn of(raft: &Raft) -> Self {
        Self {
            hard_state: raft.hard_state,
            role: raft.role.kind(),
            commit_index: raft.log.commit_index(),
            last_applied: raft.log.last_applied(),
            last_log: raft.log.last(),
        }
    }
}

/// Checks one state.
pub(super) fn check(raft: &Raft) {
    let log = &raft.log;
    let (purged, applied) = (log.purged().index, log.last_applied());
    assert!(purged <= applied, "purged {purged} above applied {applied}");
    let (commit, durable, last) = (log.commit_index(), log.durable_index(), log.last().index);
    assert!(applied <= commit, "applied {applied} above commit {commit}");
    assert!(
        applied <= durable,
        "applied {applied} above durable {durable}"
    );
    assert!(
        commit <= last && durable <= last,
        "commit {commit} or durable {durable} above {last}"
    );
    let term = raft.hard_state.current_term;
    assert!(
        log.last().term <= term,
        "the log ends in {}, above the term {term}",
        log.last()
    );
    if let Role::Leader(leader) = &raft.role {
        let first = LogId {
            term,
            index: leader.first_index,
        };
        assert!(
            log.contains(first) || first.index < purged,
            "leads without a blank entry"
        );
        for progress in leader.followers.iter() {
            assert!(
                progress.match_index < progress.next_index && progress.match_index <= last,
                "match {} and next {} of {} with a log up to {last}",
                progress.match_index,
                progress.next_index,
                progress.replica
            );
        }
    }
}

/// Checks one step.
pub(super) fn check_step(before: &Before, after: &Raft) {
    let (was, is) = (before.hard_state, after.hard_state);
    assert!(
        was.current_term <= is.current_term,
        "the term fell: {was:?} to {is:?}"
    );
    assert!(
        was.current_term < is.current_term
            || was.voted_for == is.voted_for
            || was.voted_for.is_none(),
        "the vote changed within a term: {was:?} to {is:?}"
    );
    assert!(
        before.commit_index <= after.log.commit_index(),
        "the commit index fell"
    );
    assert!(
        before.last_applied <= after.log.last_applied(),
        "the applied index fell"
    );
    let led_on = before.role == RoleKind::Leader
        && matches!(after.role, Role::Leader(_))
        && was.current_term == is.current_term;
    assert!(
        !led_on || after.log.may_agree(before.last_log),
        "a leader changed its own log at {}",
        before.last_log
    );
}
