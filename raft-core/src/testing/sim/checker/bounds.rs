//! P19: what waits stays under its limits, whatever happens around it: proposals
//! and reads of this node's clients, and what a leader has appended and not committed.

use super::Check;
use crate::config::Config;
use crate::entry::{Entry, EntryKind};
use crate::protocol::Status;
use crate::testing::sim::report::Violation;

/// A replica with this configuration shows `status`; `uncommitted` are the entries
/// of its log above its commit index.
pub(crate) fn keeps(config: &Config, status: &Status, uncommitted: &[Entry]) -> Check {
    let bounds = [
        (
            "proposals wait",
            status.pending_proposals,
            config.max_pending_proposals,
        ),
        ("reads wait", status.pending_reads, config.max_pending_reads),
        (
            "bytes of commands are appended before the last, and not committed",
            bytes_before_last(status, uncommitted),
            config.max_uncommitted_bytes,
        ),
    ];
    for (what, found, limit) in bounds {
        if found > limit {
            let node = status.replica.node;
            let reason = format!("at {node} {found} {what}, and {limit} may");
            return Err(Violation::new("P19 bounded resources", reason));
        }
    }
    Ok(())
}

/// The last one is always taken if nothing else waits. What a leader finds in its log
/// when it is elected is not of its term.
fn bytes_before_last(status: &Status, uncommitted: &[Entry]) -> usize {
    let is_own =
        |entry: &&Entry| entry.term() == status.term() && entry.kind() == EntryKind::Command;
    let mut own: Vec<_> = uncommitted.iter().filter(is_own).collect();
    own.pop();
    own.into_iter().map(Entry::size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::Membership;
    use crate::protocol::{Raft, Restored};
    use crate::time::Timestamp;
    use crate::types::{LogId, ReplicaId, RequestId};

    fn check(adjust: impl FnOnce(&mut Status), commands: u64) -> Check {
        let mut config = Config::new(ReplicaId::first(1), 1);
        config.max_pending_proposals = 5;
        config.max_pending_reads = 5;
        config.max_uncommitted_bytes = 300;
        let restored = Restored::new_group(Membership::of_ids([1, 2, 3]));
        let raft = Raft::restore(config.clone(), restored, Timestamp::ZERO).unwrap();
        let mut status = raft.status();
        adjust(&mut status);
        let command = |index| {
            let data = vec![0; 68].into();
            Entry::command(LogId::new(0, index), RequestId::default(), data)
        };
        let entries: Vec<_> = (1..=commands).map(command).collect();
        keeps(&config, &status, &entries)
    }

    #[test]
    fn what_stays_under_its_limits_passes() {
        check(|status| status.pending_proposals = 5, 4).unwrap();
    }

    #[test]
    fn one_proposal_too_many_is_caught() {
        assert!(check(|status| status.pending_proposals = 6, 0).is_err());
    }

    #[test]
    fn one_read_too_many_is_caught() {
        assert!(check(|status| status.pending_reads = 6, 0).is_err());
    }

    #[test]
    fn an_append_over_the_bound_is_caught() {
        assert!(check(|_| {}, 5).is_err());
    }

    #[test]
    fn what_an_earlier_term_left_does_not_count() {
        check(|status| status.hard_state.current_term = 1.into(), 9).unwrap();
    }
}
