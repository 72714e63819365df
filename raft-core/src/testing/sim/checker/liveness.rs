//! After all faults ended, a group becomes whole again within a bound: one
//! leader, every node writes and reads through it, every log and state equal.

use super::Seen;
use crate::types::NodeId;

/// How a node stands while the group recovers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) node: NodeId,
    /// Nothing while it is down.
    pub(crate) seen: Option<Seen>,
    /// A write and a read of its clients succeeded since the faults ended.
    pub(crate) has_written: bool,
    pub(crate) has_read: bool,
    /// Requests of its clients that wait for an outcome.
    pub(crate) pending: usize,
}

/// What is missing until the group is whole; nothing if it is.
pub(crate) fn missing(group: &[Standing]) -> Option<String> {
    let leaders = group
        .iter()
        .filter(|standing| standing.seen.is_some_and(|seen| seen.leads()))
        .count();
    if leaders != 1 {
        return Some(format!("{leaders} nodes lead"));
    }
    let first = group.first()?.seen;
    group.iter().find_map(|standing| {
        let node = standing.node;
        let Some(seen) = standing.seen else {
            return Some(format!("{node} is down"));
        };
        let agrees = first.is_some_and(|first| {
            (first.term(), first.log_digest) == (seen.term(), seen.log_digest)
        });
        let last = seen.last_log.index;
        let has_all =
            seen.commit_index == last && seen.last_applied == last && seen.durable_index == last;
        match standing {
            Standing {
                has_written: false, ..
            } => Some(format!("no write succeeded on {node}")),
            Standing {
                has_read: false, ..
            } => Some(format!("no read succeeded on {node}")),
            Standing { pending: 1.., .. } => {
                Some(format!("{} requests wait on {node}", standing.pending))
            }
            _ if !agrees => Some(format!(
                "{node} has another log or term than the first node"
            )),
            _ if !has_all => Some(format!(
                "{node} has not committed, persisted and applied all"
            )),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RoleKind;
    use crate::testing::sim::checker::tests::seen;
    use crate::types::LogIndex;

    fn whole() -> Vec<Standing> {
        [(1, RoleKind::Leader), (2, RoleKind::Follower)]
            .map(|(node, role)| Standing {
                node: NodeId::new(node),
                seen: Some(Seen {
                    role,
                    ..seen(node, 3)
                }),
                has_written: true,
                has_read: true,
                pending: 0,
            })
            .to_vec()
    }

    fn misses(spoil: impl FnOnce(&mut Standing)) -> bool {
        let mut group = whole();
        spoil(&mut group[1]);
        missing(&group).is_some()
    }

    #[test]
    fn a_whole_group_misses_nothing() {
        assert_eq!(missing(&whole()), None);
    }

    #[test]
    fn no_leader_and_two_leaders_are_caught() {
        assert!(misses(
            |node| node.seen.as_mut().unwrap().role = RoleKind::Leader
        ));
        let mut group = whole();
        group[0].seen.as_mut().unwrap().role = RoleKind::Candidate;
        assert!(missing(&group).is_some());
    }

    #[test]
    fn a_node_left_behind_is_caught() {
        assert!(misses(|node| node.seen = None));
        assert!(misses(|node| node.has_written = false));
        assert!(misses(|node| node.has_read = false));
        assert!(misses(|node| node.pending = 1));
        assert!(misses(|node| node.seen.as_mut().unwrap().log_digest = 9));
        assert!(misses(|node| {
            node.seen.as_mut().unwrap().last_log.index = LogIndex::new(1);
        }));
    }
}
