//! All that can happen in a group.

use std::sync::Arc;

use super::log::Item;
use super::replica::Write;
use crate::membership::Membership;
use crate::time::Timestamp;
use crate::types::{LogId, LogIndex, ReplicaId, Term};

/// One thing that happens to one replica.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// It is there for the first time: as a founder, or empty.
    Join { founders: Arc<Membership> },
    /// Its vote is lost: its node goes on as `next`, with its log.
    NextLife { next: ReplicaId },
    /// It runs, from what its disk holds.
    Start { now: Timestamp },
    /// It stops. Of the writes under way so many are done; of the one after them
    /// perhaps term and vote.
    Crash { kept: usize, and_ballot: bool },

    /// It hears of a later term. `asked` says that a candidate that nobody asked to
    /// take over tells it.
    LearnTerm {
        term: Term,
        asked: bool,
        now: Timestamp,
    },
    /// It hears who leads its term.
    Hear { leader: ReplicaId, now: Timestamp },
    /// It asks whether it would be elected.
    PreCampaign,
    /// It campaigns in the next term, and votes for itself.
    Campaign,
    /// It votes in its term, for who asks. `asked` says that nobody asked that one to
    /// take over.
    Vote {
        candidate: ReplicaId,
        asked: bool,
        now: Timestamp,
    },
    /// It votes for `candidate` in `term` and goes on to a later one in the same step. Of
    /// several that it may have voted for, it says so of one.
    VoteInPassing {
        candidate: ReplicaId,
        term: Term,
        asked: bool,
        now: Timestamp,
    },
    /// It is asked whether it would vote for `candidate` in `term`, and would.
    WouldVote {
        candidate: ReplicaId,
        term: Term,
        last_log: LogId,
        now: Timestamp,
    },
    /// It won.
    Lead,
    /// It follows.
    StepDown,

    /// A leader appends entries of its own.
    Append { items: Vec<Item> },
    /// A follower takes entries of its term's leader.
    Accept {
        cut: Option<LogIndex>,
        items: Vec<Item>,
    },
    /// It cuts what is damaged here and was never committed.
    CutDamage { from: LogIndex },
    /// Its state machine was restored from a snapshot that ends here.
    Restore { at: LogIndex },
    /// Its log follows: it starts anew, or keeps what it has.
    Install { at: LogIndex, resets: bool },

    /// A leader finds that so much is on a quorum's disks.
    Commit { index: LogIndex },
    /// It learns that so much of its log is committed.
    LearnCommit { index: LogIndex },
    /// Its state machine applied up to here.
    Apply { index: LogIndex },
    /// A crash would leave its state machine here.
    StateDurable { index: LogIndex },

    /// It asks its disk to make what it changed durable.
    Ask { write: Write },
    /// The disk did so much of it.
    Done { writes: usize },
    /// It says something, in a message of this term.
    Say { term: Term, fact: Fact },
}

/// What a message says, as far as anything depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fact {
    /// Its sender's term, and nothing more.
    Term,
    /// It campaigns with a log that ends here; perhaps because a leader wants it to, so
    /// that voters need not wait.
    Campaigns { last_log: LogId, takes_over: bool },
    /// It votes for `candidate` in `term`.
    Votes { term: Term, candidate: ReplicaId },
    /// It would vote for `candidate` in `term`.
    WouldVote { term: Term, candidate: ReplicaId },
    /// It leads, holds this entry, and knows so much to be committed.
    Leads { holds: LogId, commit: LogIndex },
    /// It leads, and wants `successor` to.
    HandsOver { successor: ReplicaId },
    /// It holds the leader's log up to here durably.
    Holds { up_to: LogId },
    /// It has forgotten its log up to here, which is committed.
    Purged { up_to: LogId },
}

/// The names of all actions, as in traces and counts.
pub(crate) const NAMES: [&str; 32] = [
    "join",
    "next_life",
    "start",
    "crash",
    "learn_term",
    "hear",
    "pre_campaign",
    "campaign",
    "vote",
    "lead",
    "step_down",
    "append",
    "accept",
    "cut_damage",
    "restore",
    "install",
    "commit",
    "learn_commit",
    "apply",
    "state_durable",
    "ask",
    "done",
    "say_term",
    "say_campaigns",
    "say_votes",
    "say_would_vote",
    "say_leads",
    "say_hands_over",
    "say_holds",
    "would_vote",
    "vote_in_passing",
    "say_purged",
];

/// How often each of [`NAMES`] happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts([u64; NAMES.len()]);

impl Counts {
    /// One more of `action`.
    pub(crate) const fn add(&mut self, action: &Action) {
        self.0[action.kind()] += 1;
    }

    /// Names and numbers of those that happened.
    pub(crate) fn happened(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = NAMES.into_iter().zip(self.0);
        all.filter(|(_, count)| *count > 0)
    }
}

impl Action {
    /// Its name, as in the traces.
    pub(crate) const fn name(&self) -> &'static str {
        NAMES[self.kind()]
    }

    const fn kind(&self) -> usize {
        match self {
            Self::Join { .. } => 0,
            Self::NextLife { .. } => 1,
            Self::Start { .. } => 2,
            Self::Crash { .. } => 3,
            Self::LearnTerm { .. } => 4,
            Self::Hear { .. } => 5,
            Self::PreCampaign => 6,
            Self::Campaign => 7,
            Self::Vote { .. } => 8,
            Self::Lead => 9,
            Self::StepDown => 10,
            Self::Append { .. } => 11,
            Self::Accept { .. } => 12,
            Self::CutDamage { .. } => 13,
            Self::Restore { .. } => 14,
            Self::Install { .. } => 15,
            Self::Commit { .. } => 16,
            Self::LearnCommit { .. } => 17,
            Self::Apply { .. } => 18,
            Self::StateDurable { .. } => 19,
            Self::Ask { .. } => 20,
            Self::Done { .. } => 21,
            Self::Say { fact, .. } => match fact {
                Fact::Term => 22,
                Fact::Campaigns { .. } => 23,
                Fact::Votes { .. } => 24,
                Fact::WouldVote { .. } => 25,
                Fact::Leads { .. } => 26,
                Fact::HandsOver { .. } => 27,
                Fact::Holds { .. } => 28,
                Fact::Purged { .. } => 31,
            },
            Self::WouldVote { .. } => 29,
            Self::VoteInPassing { .. } => 30,
        }
    }
}
