//! Which stream may go on with a half-read snapshot, and which may take its place.
//!
//! By now it is certain that the stream's sender is the node it claims to be.

use crate::wire::SnapshotBegin;

/// What becomes of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Admission {
    /// It goes on with the transfer that is known.
    GoesOn,
    /// It begins a transfer, in the place of the one that was known.
    Begins,
}

/// Judges a stream by the latest transfer of its group, and by whether that is
/// over. Refuses it with a reason.
pub(super) fn admit(
    known: Option<(&SnapshotBegin, bool)>,
    begin: &SnapshotBegin,
) -> Result<Admission, &'static str> {
    let Some((known, is_over)) = known else {
        return begins(begin);
    };
    let (old, new) = (known.header(), begin.header());
    let is_same_sender = old.from.node == new.from.node;
    if is_same_sender && known.transfer == begin.transfer {
        return match old == new && known.meta == begin.meta {
            true => Ok(Admission::GoesOn),
            false => Err("it is not the snapshot that its transfer began with"),
        };
    }
    if is_over {
        return begins(begin);
    }
    if new.term < old.term {
        return Err("a leader of a later term sends one");
    }
    if new.term == old.term && !is_same_sender {
        return Err("another node sends one in this term");
    }
    let (late, latest) = (begin.transfer, known.transfer);
    if is_same_sender && late.boot == latest.boot && late.sequence < latest.sequence {
        return Err("its sender has begun another since");
    }
    begins(begin)
}

/// A transfer that is not known begins with its first chunk, or not at all.
fn begins(begin: &SnapshotBegin) -> Result<Admission, &'static str> {
    match begin.acknowledged {
        0 => Ok(Admission::Begins),
        _ => Err("what was received of it is here no more"),
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{
        GroupId, Incarnation, LogId, Membership, ReplicaId, SnapshotHeader, SnapshotMeta, Term,
    };

    use super::*;
    use crate::wire::TransferId;

    const FIRST: TransferId = TransferId {
        boot: 70,
        sequence: 5,
    };

    fn from_node(node: u64, term: u64, transfer: TransferId) -> SnapshotBegin {
        let header = SnapshotHeader {
            group: GroupId::new(0),
            from: ReplicaId::first(node),
            to: ReplicaId::first(2),
            term: Term::new(term),
        };
        SnapshotBegin::new(transfer, header, meta(77))
    }

    fn meta(index: u64) -> SnapshotMeta {
        SnapshotMeta {
            last_included: LogId::new(3, index),
            membership: Membership::of_ids([1, 2, 3]),
        }
    }

    fn resumed(mut begin: SnapshotBegin) -> SnapshotBegin {
        begin.acknowledged = 4;
        begin
    }

    #[track_caller]
    fn goes_on(known: &SnapshotBegin, begin: &SnapshotBegin) {
        for is_over in [false, true] {
            assert_eq!(admit(Some((known, is_over)), begin), Ok(Admission::GoesOn));
        }
    }

    #[track_caller]
    fn is_refused(known: &SnapshotBegin, begin: &SnapshotBegin) {
        let admission = admit(Some((known, false)), begin);
        assert!(admission.is_err(), "{admission:?}");
    }

    #[test]
    fn the_sender_of_a_transfer_goes_on_with_it() {
        let known = from_node(1, 3, FIRST);

        goes_on(&known, &known);
        goes_on(&known, &resumed(known.clone()));
    }

    #[test]
    fn a_stranger_does_not_go_on_with_anothers_transfer() {
        let known = from_node(1, 3, FIRST);

        is_refused(&known, &from_node(3, 3, FIRST));
        is_refused(&known, &resumed(from_node(3, 3, FIRST)));
        is_refused(&known, &resumed(from_node(3, 4, FIRST)));
    }

    #[test]
    fn another_term_life_or_snapshot_does_not_go_on_with_a_transfer() {
        let known = from_node(1, 3, FIRST);

        is_refused(&known, &resumed(from_node(1, 2, FIRST)));
        is_refused(&known, &resumed(from_node(1, 4, FIRST)));
        let mut other_snapshot = known.clone();
        other_snapshot.meta = meta(78);
        is_refused(&known, &other_snapshot);
        let mut header = known.header();
        header.from.incarnation = Incarnation::new(9);
        is_refused(&known, &SnapshotBegin::new(FIRST, header, meta(77)));
    }

    #[test]
    fn a_transfer_of_a_later_term_or_of_the_same_sender_takes_the_place_of_one() {
        let known = from_node(1, 3, FIRST);
        let next = TransferId {
            sequence: 6,
            ..FIRST
        };
        let of_next_start = TransferId {
            boot: 2,
            sequence: 0,
        };

        for begin in [
            from_node(3, 4, FIRST),
            from_node(1, 3, next),
            from_node(1, 3, of_next_start),
        ] {
            assert_eq!(admit(Some((&known, false)), &begin), Ok(Admission::Begins));
        }
    }

    #[test]
    fn a_transfer_of_an_earlier_term_or_a_late_beginning_is_refused() {
        let known = from_node(1, 3, FIRST);
        let earlier = TransferId {
            sequence: 4,
            ..FIRST
        };

        is_refused(&known, &from_node(3, 2, FIRST));
        is_refused(&known, &from_node(1, 3, earlier));
    }

    #[test]
    fn what_is_not_known_can_only_begin() {
        let begin = from_node(1, 3, FIRST);

        assert_eq!(admit(None, &begin), Ok(Admission::Begins));
        assert!(admit(None, &resumed(begin.clone())).is_err());
        let over = from_node(3, 9, FIRST);
        assert_eq!(admit(Some((&over, true)), &begin), Ok(Admission::Begins));
        assert!(admit(Some((&over, true)), &resumed(begin)).is_err());
    }
}
