//! Messages that nobody who plays by the rules would send, of every kind.

use raft_core::error::ChangeMembershipError;
use raft_core::message::{
    Absence, AppendEntries, AppendReply, AppendResult, ChangeMembership, ChangeMembershipReply,
    Commit, EntryAbsent, FetchEntry, FetchedEntry, Heartbeat, HeartbeatReply, PreVote,
    PreVoteReply, Propose, ProposeRefused, ReadIndex, ReadIndexReply, Refusal, RequestVote,
    RequestVoteReply, TimeoutNow,
};
use raft_core::{Entry, Envelope, Message, ReplicaId};

use crate::choices::Choices;
use crate::values::{View, any_replica, change, command, membership};

/// A message to the replica that `view` shows.
pub fn envelope(view: &View<'_>, choices: &mut Choices<'_>) -> Envelope {
    let how = choices.byte();
    Envelope {
        group: u64::from(how == 255).into(),
        from: view.peer(choices),
        to: match how {
            254 => any_replica(choices),
            192..=253 if view.status.replica.incarnation.get() > 0 => ReplicaId::first(1),
            _ => view.status.replica,
        },
        term: match how & 3 {
            0 => view.term(choices),
            _ => view.status.term(),
        },
        message: message(view, choices),
    }
}

fn message(view: &View<'_>, choices: &mut Choices<'_>) -> Message {
    match choices.below(19) {
        kind @ 0..=3 => vote(kind, view, choices),
        kind @ 4..=8 => replication(kind, view, choices),
        kind @ 9..=13 => request(kind, view, choices),
        14 => Message::ChangeMembership(ChangeMembership {
            request: view.request(choices),
            change: change(choices),
        }),
        15 => Message::TimeoutNow(TimeoutNow {
            round: view.round(choices),
        }),
        16 => Message::FetchEntry(FetchEntry {
            log_id: view.log_id(choices),
        }),
        17 => Message::EntryAbsent(EntryAbsent {
            log_id: view.log_id(choices),
            absence: match choices.coin() {
                true => Absence::NotHeld,
                false => Absence::Purged {
                    up_to: view.log_id(choices),
                    membership: Box::new(membership(choices)),
                },
            },
        }),
        _ => {
            let log_id = view.log_id(choices);
            let payload = view.payload(choices);
            let entry = Entry { log_id, payload };
            Message::FetchedEntry(FetchedEntry { entry })
        }
    }
}

fn vote(kind: usize, view: &View<'_>, choices: &mut Choices<'_>) -> Message {
    let (last_log, flag) = (view.log_id(choices), choices.coin());
    match kind {
        0 => Message::PreVote(PreVote {
            round: view.round(choices),
            proposed_term: view.term(choices),
            last_log,
        }),
        1 => Message::PreVoteReply(PreVoteReply {
            round: view.round(choices),
            proposed_term: view.term(choices),
            granted: flag,
        }),
        2 => Message::RequestVote(RequestVote {
            last_log,
            leadership_transfer: flag,
        }),
        _ => Message::RequestVoteReply(RequestVoteReply {
            vote_term: view.term(choices),
            granted: flag,
        }),
    }
}

fn replication(kind: usize, view: &View<'_>, choices: &mut Choices<'_>) -> Message {
    let session = view.session(choices);
    match kind {
        4 => {
            let previous = view.log_id(choices);
            Message::AppendEntries(AppendEntries {
                session,
                previous,
                entries: view.entries(previous, choices),
                commit: view.index(choices),
            })
        }
        5 => Message::AppendReply(AppendReply {
            session,
            result: AppendResult::Accepted {
                received: view.log_id(choices),
                durable: view.log_id(choices),
            },
        }),
        6 => Message::AppendReply(AppendReply {
            session,
            result: AppendResult::Rejected {
                previous: view.index(choices),
                hint: view.log_id(choices),
            },
        }),
        7 => Message::Heartbeat(Heartbeat {
            session,
            round: view.round(choices),
            commit: view.index(choices),
        }),
        _ => Message::HeartbeatReply(HeartbeatReply {
            session,
            round: view.round(choices),
            received: view.log_id(choices),
            durable: view.log_id(choices),
            promise: std::time::Duration::from_millis(choices.byte().into()),
        }),
    }
}

fn request(kind: usize, view: &View<'_>, choices: &mut Choices<'_>) -> Message {
    let request = view.request(choices);
    let boot = request.boot;
    match kind {
        9 => Message::Commit(Commit {
            commit: view.index(choices),
        }),
        10 => Message::ReadIndex(ReadIndex {
            request,
            lease: choices.coin(),
        }),
        11 => Message::ReadIndexReply(ReadIndexReply {
            request,
            index: choices.coin().then(|| view.index(choices)),
            commit: view.index(choices),
        }),
        12 => {
            let count = choices.below(6) as u64;
            let numbers = (0..count).map(|n| request.sequence.saturating_add(n));
            if choices.once_in(3) {
                let sequences = numbers.collect();
                return Message::ProposeRefused(ProposeRefused {
                    boot,
                    sequences,
                    reason: match choices.coin() {
                        true => Refusal::Overloaded,
                        false => Refusal::DiskFull,
                    },
                });
            }
            let commands = numbers.map(|n| (n, command(choices))).collect();
            Message::Propose(Propose { boot, commands })
        }
        _ => {
            let result = match choices.coin() {
                true => Ok(view.log_id(choices)),
                false => Err(ChangeMembershipError::LeaderNotReady),
            };
            Message::ChangeMembershipReply(ChangeMembershipReply { request, result })
        }
    }
}
