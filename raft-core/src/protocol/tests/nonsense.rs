//! Whatever a peer sends, a replica does not panic and keeps its invariants
//! (which it checks itself after each step).

use super::*;
use std::sync::Arc;

use crate::error::ChangeMembershipError;
use crate::membership::MemberInfo;
use crate::membership_change::MembershipChange;
use crate::message::{
    Absence, ChangeMembership, ChangeMembershipReply, Commit, EntryAbsent, FetchEntry,
    FetchedEntry, Propose, ProposeRefused, ReadIndex, ReadIndexReply, Refusal, TimeoutNow,
};
use crate::protocol::random::Random;
use crate::protocol::{PersistToken, SnapshotOffer, SnapshotToken};
use crate::types::NodeId;

/// Numbers that are wrong in interesting ways, and some that are right.
fn number(random: &mut Random) -> u64 {
    match random.next() % 8 {
        0 => 0,
        1 => u64::MAX,
        2 => u64::MAX / 2,
        3 => u64::MAX - 1,
        _ => random.next() % 7,
    }
}

fn coin(random: &mut Random) -> bool {
    random.next() & 1 == 0
}

fn log_id(random: &mut Random) -> LogId {
    LogId::new(number(random), number(random))
}

fn index(random: &mut Random) -> LogIndex {
    LogIndex::new(number(random))
}

fn entries(random: &mut Random) -> LogSlice {
    let (first, term) = (number(random), number(random));
    let count = random.next() % 4;
    let ids = (0..count).filter_map(|i| Some(LogId::new(term, first.checked_add(i)?)));
    LogSlice::new(ids.map(Entry::blank).collect()).unwrap_or_default()
}

fn vote_message(random: &mut Random) -> Message {
    let (term, granted) = (Term::new(number(random)), coin(random));
    match random.next() % 4 {
        0 => pre_vote(term.get(), log_id(random)),
        1 => pre_vote_reply(number(random), term.get(), granted),
        2 => Message::RequestVote(RequestVote {
            last_log: log_id(random),
            leadership_transfer: granted,
        }),
        _ => vote(term.get(), granted),
    }
}

fn log_message(random: &mut Random) -> Message {
    let session = random.next() % 4;
    match random.next() % 5 {
        0 => Message::AppendEntries(AppendEntries {
            session,
            previous: log_id(random),
            entries: entries(random),
            commit: index(random),
        }),
        1 => accepted(session, log_id(random), log_id(random)),
        2 => rejected(session, number(random), log_id(random)),
        3 => Message::Heartbeat(Heartbeat {
            session,
            round: number(random),
            commit: index(random),
        }),
        _ => Message::HeartbeatReply(HeartbeatReply {
            session,
            round: number(random),
            received: log_id(random),
            durable: log_id(random),
            promise: Duration::from_nanos(random.next()),
        }),
    }
}

fn rare_message(random: &mut Random, boot: u64) -> Message {
    let request = RequestId {
        boot: if coin(random) { boot } else { number(random) },
        sequence: number(random),
    };
    let node = NodeId::new(1 + random.next() % 5);
    let info = MemberInfo::default();
    match random.next() % 6 {
        0 => Message::TimeoutNow(TimeoutNow {
            round: number(random),
        }),
        1 => Message::FetchEntry(FetchEntry {
            log_id: log_id(random),
        }),
        2 => Message::FetchedEntry(FetchedEntry {
            entry: Entry::blank(log_id(random)),
        }),
        3 => {
            let absence = match coin(random) {
                true => Absence::NotHeld,
                false => Absence::Purged {
                    up_to: log_id(random),
                    membership: Box::new(Membership::of_ids(1..=random.next() % 4)),
                },
            };
            let log_id = log_id(random);
            Message::EntryAbsent(EntryAbsent { log_id, absence })
        }
        4 => {
            let result = match coin(random) {
                true => Ok(log_id(random)),
                false => Err(ChangeMembershipError::LeaderNotReady),
            };
            Message::ChangeMembershipReply(ChangeMembershipReply { request, result })
        }
        _ => {
            let change = match random.next() % 4 {
                0 => MembershipChange::new().add_learner(node, info),
                1 => MembershipChange::new().promote(node),
                2 => MembershipChange::new().demote(node),
                _ => MembershipChange::new().remove(node),
            };
            Message::ChangeMembership(ChangeMembership { request, change })
        }
    }
}

fn nonsensical_offer(random: &mut Random) -> Input {
    Input::SnapshotOffered(SnapshotOffer {
        token: SnapshotToken(random.next() % 8),
        from: ReplicaId::first(1 + random.next() % 4),
        term: Term::new(number(random)),
        last_included: log_id(random),
        membership: Arc::new(Membership::of_ids(1..=3)),
    })
}

/// Another request of this node's clients, or a completion that may never have been asked for.
fn own_input(random: &mut Random, ticket: u64) -> Input {
    let token = SnapshotToken(random.next() % 8);
    match random.next() % 9 {
        0 => nonsensical_offer(random),
        1 => Input::SnapshotRestored { token, ok: false },
        2 => Input::SnapshotSent {
            token,
            installed: coin(random).then(|| log_id(random)),
        },
        3 => Input::TransferLeadership {
            ticket: Ticket(ticket),
            to: coin(random).then(|| NodeId::new(random.next() % 5)),
        },
        4 => Input::ChangeMembership {
            ticket: Ticket(ticket),
            change: MembershipChange::new().remove(NodeId::new(1 + random.next() % 4)),
        },
        5 => Input::Checkpoint,
        6 => Input::CheckpointEnded,
        7 => Input::SnapshotProgress(token),
        _ => Input::StateDurable(index(random)),
    }
}

fn request_message(random: &mut Random, boot: u64) -> Message {
    let boot = if coin(random) { boot } else { number(random) };
    let request = RequestId {
        boot,
        sequence: number(random),
    };
    let commit = index(random);
    match random.next() % 5 {
        0 => Message::Commit(Commit { commit }),
        1 => Message::ReadIndex(ReadIndex {
            request,
            lease: coin(random),
        }),
        2 => {
            let index = (coin(random)).then(|| index(random));
            Message::ReadIndexReply(ReadIndexReply {
                request,
                index,
                commit,
            })
        }
        3 => {
            let commands = vec![
                (number(random), Bytes::new()),
                (number(random), Bytes::new()),
            ];
            Message::Propose(Propose { boot, commands })
        }
        _ => {
            let sequences = vec![number(random), number(random)];
            let reason = match number(random) % 2 {
                0 => Refusal::Overloaded,
                _ => Refusal::DiskFull,
            };
            Message::ProposeRefused(ProposeRefused {
                boot,
                sequences,
                reason,
            })
        }
    }
}

/// An old message cannot be tailored; these mix freely what only a broken peer would.
fn bombard(mut replica: Replica, seed: u64) {
    let mut random = Random::new(seed);
    for ticket in 0..3_000 {
        let message = match random.next() % 4 {
            0 => vote_message(&mut random),
            1 => log_message(&mut random),
            2 => rare_message(&mut random, replica.raft.boot()),
            _ => request_message(&mut random, replica.raft.boot()),
        };
        let from = 1 + random.next() % 4;
        let term = match random.next() % 4 {
            0 => number(&mut random),
            _ => replica.term().get(),
        };
        replica.receive(from, term, message);
        match random.next() % 16 {
            0 => drop(replica.wait_for_election_timeout()),
            1 => drop(replica.propose(ticket)),
            2 => drop(replica.read(ticket)),
            4 => drop(replica.step(own_input(&mut random, ticket))),
            3 => drop(replica.step(Input::Persisted(PersistToken(number(&mut random))))),
            _ => {}
        }
    }
}

#[test]
fn nothing_a_peer_sends_makes_a_replica_panic() {
    for seed in 0..60 {
        bombard(replica_of(3, 2, &[1, 1, 2]), seed);
        bombard(leader_of(3, 3, &[1, 1, 2]), seed);
        bombard(replica_of(1, 0, &[]), seed);
    }
}
