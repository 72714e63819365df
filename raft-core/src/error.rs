//! What a caller is told when a request fails, and what a backend says when the world does.

use std::error::Error;

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;
use crate::types::{LogIndex, NodeId, Term};

/// Why a proposal did not succeed.
///
/// Every proposal ends in exactly one way: committed with its result, refused
/// (it has no effect and never will; proposing again is safe), or
/// [`ProposeError::Unknown`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// Refused: no leader is known. Retry when there is one.
    #[error("no leader is known")]
    NoLeader,
    /// Refused: the node asked no longer leads. Retry at `leader` if it is known.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// Refused: too much waits for commit. Back off.
    #[error("{pending} proposals already wait for commit")]
    Overloaded {
        /// How many wait on the node that refused.
        pending: usize,
    },
    /// Refused: the leader's disk has no space left, and nobody else can lead. Free space
    /// on the leader, then propose again.
    #[error("the disk of the leader is full")]
    DiskFull,
    /// Refused: the command is larger than any may be.
    #[error("a command of {size} bytes is above the limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// [`Config::max_command_bytes`](crate::Config::max_command_bytes).
        limit: usize,
    },
    /// Refused: a new leader's log took its place. It has no effect and never will.
    #[error("superseded by a leader of term {term}")]
    Superseded {
        /// Term of that leader.
        term: Term,
    },
    /// The outcome cannot be known any more: it may have been or may still be committed.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// Why it cannot be known.
        reason: &'static str,
    },
    /// Refused: the node is stopped or has failed.
    #[error("the node is stopped")]
    Stopped,
}

impl ProposeError {
    /// Whether the proposal certainly has no effect, so that proposing again is safe.
    pub const fn is_refusal(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }
}

/// Why a linearizable read could not be served. Reading again is always safe.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No leader is known.
    #[error("no leader is known")]
    NoLeader,
    /// The leader could not confirm its leadership in time, or lost it.
    #[error("leadership was not confirmed")]
    Unconfirmed,
    /// Too many reads wait. Back off.
    #[error("{pending} reads already wait")]
    Overloaded {
        /// How many wait.
        pending: usize,
    },
    /// The node is stopped or has failed.
    #[error("the node is stopped")]
    Stopped,
}

/// Why the membership was not changed.
///
/// Everything but [`ChangeMembershipError::Unknown`] and
/// [`ChangeMembershipError::Superseded`] means that nothing was appended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ChangeMembershipError {
    /// No leader is known. Retry when there is one.
    #[error("no leader is known")]
    NoLeader,
    /// Too many changes of this node wait for their outcome. Nothing was appended.
    #[error("{pending} membership changes already wait")]
    Overloaded {
        /// How many wait.
        pending: usize,
    },
    /// Another change is under way; one at a time. Retry when it is done.
    #[error("another membership change is under way since {index}")]
    InProgress {
        /// The entry of that change.
        index: LogIndex,
    },
    /// The leader has not committed an entry of its term yet. Retry in a moment.
    #[error("the leader has not committed an entry of its term yet")]
    LeaderNotReady,
    /// The leader hands leadership over. Retry at the next leader.
    #[error("leadership is being transferred")]
    Transferring,
    /// No step, or too many.
    #[error("a membership change takes 1 to 1000 steps, not {steps}")]
    StepCount {
        /// How many there were.
        steps: usize,
    },
    /// Two steps about one node contradict each other; make two changes of them.
    #[error("{node} is named by two steps of one change")]
    NamedTwice {
        /// The node.
        node: NodeId,
    },
    /// The node is a member already.
    #[error("{node} is already a member")]
    AlreadyMember {
        /// The node.
        node: NodeId,
    },
    /// The node is no member.
    #[error("{node} is not a member")]
    UnknownMember {
        /// The node.
        node: NodeId,
    },
    /// The node to promote votes already.
    #[error("{node} already votes")]
    AlreadyVoter {
        /// The node.
        node: NodeId,
    },
    /// The node to demote does not vote.
    #[error("{node} does not vote")]
    NotAVoter {
        /// The node.
        node: NodeId,
    },
    /// Another life of a node is another replica: remove the one, add the other.
    #[error("an update cannot change the incarnation of {node}; remove it and add it anew")]
    OtherIncarnation {
        /// The node.
        node: NodeId,
    },
    /// The change would leave nobody to vote.
    #[error("the change would leave no voter")]
    NoVoterLeft,
    /// The learner to promote is too far behind to vote. Retry when it has caught up.
    #[error("{node} is {behind} entries behind, more than {allowed}")]
    NotCaughtUp {
        /// The learner.
        node: NodeId,
        /// How many entries it lacks.
        behind: u64,
        /// How many it may lack.
        allowed: u64,
    },
    /// Too few of the voters-to-be answer: the group would stop.
    #[error("only {active} of the {voters} voters after the change answer")]
    QuorumUnavailable {
        /// How many answer.
        active: usize,
        /// How many there would be.
        voters: usize,
    },
    /// The log of a new leader took the change's place. It has no effect and never will.
    #[error("superseded by a leader of term {term}")]
    Superseded {
        /// Term of that leader.
        term: Term,
    },
    /// The outcome cannot be known here: look at the membership.
    #[error("outcome unknown: no outcome within the request timeout")]
    Unknown,
    /// The node is stopped or has failed.
    #[error("the node is stopped")]
    Stopped,
    /// The learner to promote has not answered its leader lately: perhaps it does
    /// not run. Retry when it does.
    #[error("{node} does not answer its leader")]
    NotAnswering {
        /// The learner.
        node: NodeId,
    },
    /// The node to readmit was not heard in a later life than the member's.
    #[error("{node} was not heard in another life than the one that is a member")]
    SameLife {
        /// The node.
        node: NodeId,
    },
    /// The node to readmit has a vote in its earlier life: demote it first.
    #[error("{node} still votes in its earlier life; demote it first")]
    StillVotes {
        /// The node.
        node: NodeId,
    },
}

/// Why leadership was not transferred. The cluster has a leader or elects one in any case.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// Only the leader can hand its leadership over. Ask `leader` if it is known.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// The target does not vote, so it cannot lead.
    #[error("{node} is not a voter")]
    NotAVoter {
        /// The target.
        node: NodeId,
    },
    /// No other voter answers.
    #[error("no other voter could lead")]
    NoCandidate,
    /// Too many requests of operators wait on this node. Nothing was done.
    #[error("{pending} requests already wait")]
    Overloaded {
        /// How many wait.
        pending: usize,
    },
    /// Another transfer is under way.
    #[error("leadership is already being transferred to {to}")]
    InProgress {
        /// Its target.
        to: NodeId,
    },
    /// The target did not take over in time; this node went on leading.
    #[error("{to} did not take over in time")]
    TimedOut {
        /// The target.
        to: NodeId,
    },
    /// Leadership was lost, but not to the target.
    #[error("leadership went to another node")]
    OtherLeader {
        /// Who leads now, if known.
        leader: Option<NodeId>,
    },
    /// The node is stopped or has failed.
    #[error("the node is stopped")]
    Stopped,
}

/// Why a replica cannot be built from what was stored.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The configuration cannot work.
    #[error("invalid configuration")]
    Config(#[from] ConfigError),
    /// The log's metadata has a gap or a falling term.
    #[error("the stored log is not a run: {what}")]
    BrokenLog {
        /// What is wrong, with the values.
        what: String,
    },
    /// The state machine is ahead of, or behind, the log that should hold its entries.
    #[error("the state machine applied up to {applied}, but the log holds {first} to {last}")]
    AppliedOutsideLog {
        /// What the state machine reports.
        applied: LogIndex,
        /// First index of the log.
        first: LogIndex,
        /// Last index of the log.
        last: LogIndex,
    },
    /// A term or an index that no cluster reaches: it leaves no room for the next one.
    #[error("the stored {what} leaves no room for the next one")]
    OutOfRange {
        /// Which, with its value.
        what: String,
    },
    /// The log holds a term that the vote store has never seen: the two do not belong together.
    #[error("the log reaches term {log_term}, the vote store only term {current_term}")]
    VoteStoreBehind {
        /// Term of the last entry.
        log_term: Term,
        /// Term of the vote store.
        current_term: Term,
    },
}

/// What a storage backend says when it cannot do its duty.
///
/// A failed write is never retried on the same file: the store closes for
/// writing, answers [`StorageError::Closed`] from then on and says so in its health.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The operating system or the engine below failed.
    #[error("storage failed while {doing}")]
    Io {
        /// What was being done, as in "appending entries".
        doing: &'static str,
        /// The failure.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// No space is left. Nothing of the operation took effect.
    #[error("no space left while {doing}")]
    Full {
        /// What was being done.
        doing: &'static str,
        /// The failure.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Stored bytes are damaged.
    #[error("{what} is corrupt: {reason}")]
    Corrupt {
        /// The record, with its place.
        what: String,
        /// How that shows.
        reason: String,
    },
    /// A newer program wrote this. What it means is not known here; nothing of it was done.
    #[error("{what} is of a version that this program does not know: {reason}")]
    UnknownVersion {
        /// The record, with its place.
        what: String,
        /// Which version, which are known, and what to do.
        reason: String,
    },
    /// An earlier write failed; the store accepts no more.
    #[error("the store is closed for writing after an earlier failure")]
    Closed,
    /// The caller broke the contract; nothing changed.
    #[error("refused: {reason}")]
    Misuse {
        /// What was wrong, with the values.
        reason: String,
    },
}

impl StorageError {
    /// An [`StorageError::Io`] from any error.
    pub fn io(doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Io {
            doing,
            source: source.into(),
        }
    }
}
