//! Leadership transfer (Thesis §3.10).

use super::*;
use crate::config::DuringTransfer;
use crate::error::TransferError;
use crate::message::TimeoutNow;
use crate::protocol::RoleKind;
use crate::types::NodeId;

const TWO: NodeId = NodeId::new(2);
const THREE: NodeId = NodeId::new(3);

/// A leader of term 2 whose followers hold all three entries.
fn leader() -> Replica {
    let mut leader = leader_of(3, 2, &[1, 1]);
    for peer in [2, 3] {
        leader.receive(
            peer,
            2,
            accepted(session_of(peer), LogId::new(2, 3), LogId::new(2, 3)),
        );
    }
    leader
}

fn timeout_now(sent: &[(u64, Message)]) -> Vec<(u64, u64)> {
    sent.iter()
        .filter_map(|(to, message)| match message {
            Message::TimeoutNow(body) => Some((*to, body.round)),
            _ => None,
        })
        .collect()
}

impl Replica {
    fn transfer(&mut self, ticket: u64, to: Option<NodeId>) -> Vec<(u64, Message)> {
        let ticket = Ticket(ticket);
        self.step(Input::TransferLeadership { ticket, to })
    }

    fn transfers(&self) -> Vec<Result<NodeId, TransferError>> {
        let ended = |output: &Output| match output {
            Output::TransferEnded { result, .. } => Some(result.clone()),
            _ => None,
        };
        self.others.iter().filter_map(ended).collect()
    }
}

#[test]
fn the_target_is_asked_once_it_holds_everything() {
    let mut leader = leader();
    leader.propose(1);

    let sent = leader.transfer(1, Some(TWO));
    assert_eq!(timeout_now(&sent), []);
    let sent = leader.receive(2, 2, accepted(1, LogId::new(2, 4), LogId::new(2, 4)));

    assert_eq!(timeout_now(&sent), [(2, 1)]);
}

#[test]
fn without_a_name_the_most_advanced_voter_is_the_target() {
    let mut leader = leader();
    leader.propose(1);
    leader.receive(3, 2, accepted(2, LogId::new(2, 4), LogId::new(2, 4)));

    let sent = leader.transfer(1, None);

    assert_eq!(timeout_now(&sent), [(3, 1)]);
}

#[test]
fn a_transfer_succeeds_when_the_target_leads() {
    let mut leader = leader();
    leader.transfer(1, Some(TWO));

    leader.receive(2, 3, request_vote(LogId::new(2, 3)));
    leader.receive(2, 3, heartbeat(1, 0));

    assert_eq!(leader.transfers(), [Ok(TWO)]);
}

#[test]
fn a_transfer_that_another_node_wins_says_so() {
    let mut leader = leader();
    leader.transfer(1, Some(TWO));

    leader.receive(3, 3, heartbeat(1, 0));

    let leader_now = Some(THREE);
    assert_eq!(
        leader.transfers(),
        [Err(TransferError::OtherLeader { leader: leader_now })]
    );
}

#[test]
fn proposals_wait_and_go_on_with_this_leader_if_the_transfer_fails() {
    let mut leader = leader();
    leader.transfer(1, Some(TWO));
    leader.propose(5);
    leader.propose(6);
    assert_eq!(leader.raft.status().last_log, LogId::new(2, 3));

    for _ in 0..25 {
        leader.wait(Duration::from_millis(40));
        let round = leader.raft.status().term().get();
        leader.receive(2, round, heartbeat_reply(1, 1, LogId::new(2, 3)));
        leader.receive(3, round, heartbeat_reply(2, 1, LogId::new(2, 3)));
    }

    assert_eq!(
        leader.transfers(),
        [Err(TransferError::TimedOut { to: TWO })]
    );
    assert_eq!(leader.raft.status().role, RoleKind::Leader);
    assert_eq!(leader.raft.status().last_log, LogId::new(2, 5));
}

#[test]
fn proposals_wait_and_go_to_the_next_leader() {
    let mut leader = leader();
    leader.transfer(1, Some(TWO));
    leader.propose(5);

    let sent = leader.receive(2, 3, heartbeat(1, 0));

    let forwarded = |(to, m): &(u64, Message)| *to == 2 && matches!(m, Message::Propose(_));
    assert!(sent.iter().any(forwarded));
    assert_eq!(leader.failed, []);
}

#[test]
fn proposals_are_refused_if_that_is_wanted() {
    let mut leader = replica_with(3, 1, &[1, 1], |config| {
        config.during_transfer = DuringTransfer::Refuse;
    });
    leader.win_election(3);
    leader.transfer(1, Some(TWO));

    leader.propose(5);

    let refusal = ProposeError::NotLeader { leader: Some(TWO) };
    assert_eq!(leader.failed, [(5, refusal)]);
}

#[test]
fn the_target_campaigns_at_once_and_says_why() {
    let mut target = replica_of(3, 2, &[1, 1]);
    target.receive(2, 2, heartbeat(7, 0));

    let sent = target.receive(2, 2, Message::TimeoutNow(TimeoutNow { round: 7 }));

    let requests: Vec<_> = sent
        .iter()
        .filter_map(|(to, message)| match message {
            Message::RequestVote(body) => Some((*to, body.leadership_transfer)),
            _ => None,
        })
        .collect();
    assert_eq!(requests, [(2, true), (3, true)]);
}

#[test]
fn a_request_that_comes_after_a_later_round_does_no_harm() {
    let mut target = replica_of(3, 2, &[1, 1]);
    target.receive(2, 2, heartbeat(8, 0));

    let sent = target.receive(2, 2, Message::TimeoutNow(TimeoutNow { round: 7 }));

    assert_eq!(sent, []);
    assert_eq!(target.raft.status().role, RoleKind::Follower);
}

#[test]
fn a_request_from_who_does_not_lead_does_no_harm() {
    let mut target = replica_of(3, 2, &[1, 1]);
    target.receive(2, 2, heartbeat(7, 0));

    target.receive(3, 2, Message::TimeoutNow(TimeoutNow { round: 7 }));

    assert_eq!(target.raft.status().role, RoleKind::Follower);
}

#[test]
fn a_voter_that_hears_a_leader_votes_all_the_same_if_that_leader_asked_for_it() {
    let mut voter = replica_of(3, 2, &[1, 1]);
    voter.receive(2, 2, heartbeat(7, 0));
    let asked = |leadership_transfer| {
        Message::RequestVote(RequestVote {
            last_log: LogId::new(1, 2),
            leadership_transfer,
        })
    };

    assert_eq!(voter.receive(3, 3, asked(false)), [(3, vote(3, false))]);
    assert_eq!(voter.receive(3, 3, asked(true)), [(3, vote(3, true))]);
}

#[test]
fn impossible_targets_are_refused() {
    let mut leader = leader();

    leader.transfer(1, Some(NodeId::new(9)));
    leader.transfer(2, Some(NodeId::new(1)));
    leader.transfer(3, Some(TWO));
    leader.transfer(4, Some(THREE));

    let node = NodeId::new(9);
    assert_eq!(
        leader.transfers(),
        [
            Err(TransferError::NotAVoter { node }),
            Ok(NodeId::new(1)),
            Err(TransferError::InProgress { to: TWO }),
        ]
    );
}

/// Between the vote for the successor and its first word nobody leads.
#[test]
fn a_proposal_waits_for_the_successor_that_was_just_voted_for() {
    let mut leader = leader();
    leader.transfer(1, Some(TWO));
    let vote_for_me = Message::RequestVote(RequestVote {
        last_log: leader.raft.status().last_log,
        leadership_transfer: true,
    });
    let next = leader.term().next().get();
    leader.receive(2, next, vote_for_me);

    assert_eq!(leader.propose(1), []);
    let sent = leader.receive(2, next, heartbeat(1, 0));

    assert_eq!(leader.failed, []);
    let is_forwarded = |(to, m): &(u64, Message)| *to == 2 && matches!(m, Message::Propose(_));
    assert!(sent.iter().any(is_forwarded), "{sent:?}");
}

/// Else they would exceed the bound together once they are appended.
#[test]
fn what_waits_for_a_transfer_counts_as_the_entries_that_it_becomes() {
    const COMMAND: usize = 7;
    const FRAME: usize = 32;
    let mut leader = replica_with(3, 1, &[1, 1], |config| {
        config.max_uncommitted_bytes = 4 * (COMMAND + FRAME);
    });
    leader.win_election(3);
    let end = LogId::new(2, 3);
    leader.receive(2, 2, accepted(session_of(2), end, end));
    leader.transfer(1, Some(THREE));

    for ticket in 1..=5 {
        leader.propose(ticket);
    }

    let refused: Vec<_> = leader.failed.iter().map(|(ticket, _)| *ticket).collect();
    assert_eq!(refused, [5]);
}
