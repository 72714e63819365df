//! One simulated node: a replica of the protocol, its disk and its state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::checker::Seen;
use super::disk::Disk;
use super::image::LogImage;
use super::lost_votes::PastLife;
use super::machine::Machine;
use super::snapshots::Shipment;
use crate::membership::Membership;
use crate::protocol::{Input, Proposal, Raft, SnapshotToken, Ticket};
use crate::time::Timestamp;
use crate::types::{Incarnation, LogIndex, NodeId, ReplicaId, RequestId};

const MILLION: i64 = 1_000_000;

/// A node through all its lives.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) replica: ReplicaId,
    /// The protocol, while the node runs.
    pub(crate) raft: Option<Raft>,
    /// Counts starts and stops; what was scheduled in another life does not happen.
    pub(crate) life: u64,
    pub(crate) started_at: u64,
    pub(crate) paused_until: u64,
    /// Not part of the core that must be whole in the end.
    pub(crate) is_broken: bool,
    /// What waits for the loop's next turn.
    pub(crate) waiting: Vec<Input>,
    /// The earliest wake-up that is scheduled.
    pub(crate) wake_at: Option<u64>,
    pub(crate) disk: Disk,
    /// The log as the replica sees it, durable or not.
    pub(crate) log: LogImage,
    pub(crate) machine: Machine,
    /// How it showed itself after its last step.
    pub(crate) seen: Option<Seen>,
    /// Memberships in its log that it has not been able to read since it started.
    pub(crate) missing: BTreeSet<LogIndex>,
    /// Lives that ended when their vote was lost.
    pub(crate) past_lives: Vec<PastLife>,
    pub(crate) has_written: bool,
    pub(crate) has_read: bool,
    /// Reads of its clients that need not be fresh.
    pub(crate) stale_reads: BTreeSet<Ticket>,
    /// Reads of its clients that trust the lease.
    pub(crate) lease_reads: BTreeSet<Ticket>,
    /// Snapshots that were offered to it so far.
    pub(crate) offers: u64,
    pub(crate) shipments: BTreeMap<SnapshotToken, Shipment>,
    /// Snapshots offered to it that it reads no further.
    pub(crate) unread: BTreeSet<SnapshotToken>,
    /// Snapshots of its own that it stopped sending.
    pub(crate) stopped: BTreeSet<SnapshotToken>,
    /// How much faster its clock runs than true time, in parts per million.
    pub(crate) drift: i64,
    /// How readily it campaigns.
    pub(crate) priority: u8,
    /// Its shortest election timeout.
    pub(crate) patience: Duration,
    /// Who it starts with, if its log and state do not say.
    pub(crate) founders: Membership,
    tickets: u64,
}

impl Node {
    /// A node that was never started.
    pub(crate) fn new(number: u64, founders: Membership) -> Self {
        Self {
            replica: ReplicaId::first(number),
            raft: None,
            life: 0,
            started_at: 0,
            paused_until: 0,
            is_broken: false,
            waiting: Vec::new(),
            wake_at: None,
            disk: Disk::default(),
            log: LogImage::default(),
            machine: Machine::default(),
            seen: None,
            missing: BTreeSet::new(),
            past_lives: Vec::new(),
            has_written: false,
            has_read: false,
            stale_reads: BTreeSet::new(),
            lease_reads: BTreeSet::new(),
            offers: 0,
            shipments: BTreeMap::new(),
            stopped: BTreeSet::new(),
            unread: BTreeSet::new(),
            drift: 0,
            priority: u8::MAX,
            patience: Duration::ZERO,
            founders,
            tickets: 0,
        }
    }

    /// It loses everything, and is another replica from now on.
    pub(crate) fn wipe(&mut self) {
        let incarnation = self.replica.incarnation.get() + 1;
        self.replica.incarnation = Incarnation::new(incarnation);
        self.disk = Disk::default();
        self.log = LogImage::default();
        self.machine = Machine::default();
        self.founders = Membership::default();
    }

    /// Its number in the group.
    pub(crate) const fn id(&self) -> NodeId {
        self.replica.node
    }

    /// Whether it leads, as far as it knows.
    pub(crate) fn leads(&self) -> bool {
        self.raft.is_some() && self.seen.is_some_and(|seen| seen.leads())
    }

    /// What its clock shows at the world's `now`.
    pub(crate) fn clock(&self, now: u64) -> Timestamp {
        let since_start = i128::from(now - self.started_at);
        let shown = since_start * i128::from(MILLION + self.drift) / i128::from(MILLION);
        let shown = u64::try_from(shown).unwrap_or(0);
        Timestamp::after_start(Duration::from_micros(shown))
    }

    /// The moment in the world at which its clock shows `time`.
    pub(crate) fn moment(&self, time: Timestamp) -> u64 {
        let micros = time.since_start().as_micros().saturating_add(1);
        let rate = u128::try_from(MILLION + self.drift).unwrap_or(1);
        let truly = (micros * MILLION.unsigned_abs() as u128).div_ceil(rate);
        self.started_at + u64::try_from(truly).unwrap_or(u64::MAX / 2)
    }

    /// How long it truly takes until its clock has gone on by so many microseconds.
    pub(crate) fn true_time(&self, shown: u64) -> u64 {
        let rate = u64::try_from(MILLION + self.drift).unwrap_or(1).max(1);
        shown.saturating_mul(MILLION.unsigned_abs()) / rate
    }

    /// Names requests of the running start.
    pub(crate) fn request(&self, ticket: Ticket) -> RequestId {
        RequestId {
            boot: self.raft.as_ref().map_or(0, Raft::boot),
            sequence: ticket.0,
        }
    }

    /// A ticket above all before it.
    pub(crate) fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// A proposal with a ticket of its own.
    pub(crate) fn proposal(&mut self, command: Bytes) -> Proposal {
        Proposal {
            ticket: self.next_ticket(),
            command,
        }
    }
}
