//! P4: while it leads a term, a replica's log grows at its end only (Raft figure 3, Leader Append-Only).

use super::{Check, Seen};
use crate::protocol::RoleKind;
use crate::testing::sim::image::LogImage;
use crate::testing::sim::report::Violation;

/// A replica made a step from `before` to `after`; its log is `log` now.
pub(crate) fn step(before: &Seen, after: &Seen, log: &LogImage) -> Check {
    let leads_on = before.role == RoleKind::Leader
        && after.role == RoleKind::Leader
        && before.hard_state.current_term == after.hard_state.current_term;
    if !leads_on || log.digest_at(before.last_log.index) == Some(before.log_digest) {
        return Ok(());
    }
    let reason = format!(
        "{} leads {} and no longer holds what it held up to {}",
        after.replica.node, after.hard_state.current_term, before.last_log
    );
    Err(Violation::new("P4 leader append-only", reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sim::checker::tests::seen;
    use crate::testing::sim::image::tests::image;

    fn leader_with(log: &LogImage) -> Seen {
        Seen {
            role: RoleKind::Leader,
            last_log: log.last(),
            log_digest: log.digest(),
            ..seen(1, 2)
        }
    }

    #[test]
    fn a_leader_that_cuts_or_rewrites_its_log_is_caught() {
        let long = image(&[1, 2, 2], 5);
        for changed in [image(&[1, 2], 5), image(&[1, 2, 2], 6)] {
            let (before, after) = (leader_with(&long), leader_with(&changed));
            assert!(step(&before, &after, &changed).is_err());
        }
    }

    #[test]
    fn a_leader_may_append_and_a_follower_may_cut() {
        let (short, long) = (image(&[1, 2], 5), image(&[1, 2, 2], 5));
        step(&leader_with(&short), &leader_with(&long), &long).unwrap();
        let follower = Seen {
            role: RoleKind::Follower,
            ..leader_with(&short)
        };
        step(&leader_with(&long), &follower, &short).unwrap();
    }
}
