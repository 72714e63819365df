//! What can happen in a run, and when it will.

use super::snapshots::{Shipment, SlowStream};
use crate::message::Envelope;
use crate::protocol::{ReadLog, SnapshotToken};
use crate::storage_health::StorageHealth;
use crate::types::LogId;

/// Something that will happen. `life` is the life of the node it was meant for.
#[derive(Debug)]
pub(crate) enum Event {
    Deliver(Envelope),
    Wake {
        node: usize,
        life: u64,
    },
    DiskDone {
        node: usize,
        life: u64,
    },
    LogRead {
        node: usize,
        life: u64,
        request: ReadLog,
    },
    ApplyDone {
        node: usize,
        life: u64,
    },
    CheckpointDone {
        node: usize,
        life: u64,
    },
    /// The node's loop comes round to what waits.
    Turn {
        node: usize,
        life: u64,
    },
    Client(usize),
    Operator,
    SnapshotArrives(Shipment),
    SnapshotAdvances(SlowStream),
    SnapshotAnswered {
        node: usize,
        life: u64,
        token: SnapshotToken,
        installed: Option<LogId>,
    },
    Restart {
        node: usize,
        life: u64,
    },
    Fault(FaultKind),
    HealLink {
        from: usize,
        to: usize,
    },
    /// A client reads, and trusts the lease.
    LeaseRead {
        node: usize,
    },
    /// A leader is cut off, and another node restarts.
    Silence {
        leader: usize,
        restarts: Option<usize>,
    },
    Health {
        node: usize,
        life: u64,
        health: StorageHealth,
    },
}

/// Faults that come now and then, rather than with a message or a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FaultKind {
    Partition,
    Crash,
    PowerCut,
    Pause,
    Stall,
    Illness,
    Damage,
    CutOff,
}

/// An event with its moment.
#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) at: u64,
    pub(super) sequence: u64,
    pub(super) event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}
