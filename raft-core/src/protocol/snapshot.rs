//! Snapshots: who needs one, taking one in, and how much of the log is kept (Raft §7).
//!
//! A leader streams its state machine's state to a follower whose next entry it
//! no longer has. The follower restores its state machine first; that is durable
//! and names its position, so that a crash before the log follows is noticed at
//! the next start and finished then. A log that holds the snapshot's last entry
//! keeps what comes after it.

use std::sync::Arc;

use super::event::Event;
use super::input::{SnapshotOffer, Ticket};
use super::output::{Output, SendSnapshot, SnapshotToken};
use super::replication::ProgressState;
use super::role::Role;
use super::{MAX_INDEX, MAX_TERM, Raft};
use crate::error::ProposeError;
use crate::membership::Membership;
use crate::types::{LogId, LogIndex, NodeId, Term};

/// A snapshot that the state machine is being restored from.
#[derive(Clone, Debug)]
pub(super) struct Install {
    offer: SnapshotOffer,
    /// The state machine was asked for it.
    is_asked: bool,
    /// No more of it is read. What was read may have been all.
    is_stopped: bool,
}

impl Install {
    const fn of(offer: SnapshotOffer) -> Self {
        Self {
            offer,
            is_asked: false,
            is_stopped: false,
        }
    }
}

impl Raft {
    /// Starts sending snapshots to followers that need one, a few at a time.
    pub(super) fn pump_snapshots(&mut self) {
        let (now, applied) = (self.now, self.log.last_applied());
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if !leader.followers.any_needs_snapshot() {
            return;
        }
        let mut room = self
            .config
            .max_snapshot_transfers
            .saturating_sub(leader.followers.snapshots_under_way());
        let mut begun = Vec::new();
        for progress in leader.followers.iter_mut() {
            if room > 0 && progress.awaits_snapshot(now, self.config.election_timeout_min) {
                room -= 1;
                self.last_snapshot_token = SnapshotToken(self.last_snapshot_token.0 + 1);
                progress.sends_snapshot(self.last_snapshot_token, applied, now);
                begun.push((self.last_snapshot_token, progress.replica));
            }
        }
        let term = self.hard_state.current_term;
        for (token, to) in begun {
            self.emit(Event::SnapshotSending { to });
            self.outputs
                .push_back(Output::SendSnapshot(SendSnapshot { token, to, term }));
        }
    }

    /// A snapshot on its way got further: however long it takes, it is not given up.
    pub(super) fn on_snapshot_progress(&mut self, token: SnapshotToken) {
        let now = self.now;
        if let Role::Leader(leader) = &mut self.role
            && let Some(progress) = leader.followers.sending(token)
        {
            progress.snapshot_progressed(now);
        }
    }

    /// Gives up transfers that get no further; they are tried again.
    pub(super) fn check_snapshots(&mut self) {
        let (now, limit) = (self.now, self.config.snapshot_timeout);
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let mut overdue = Vec::new();
        for progress in leader.followers.iter_mut() {
            if let Some(token) = progress.overdue_snapshot(now, limit) {
                progress.snapshot_failed(now);
                overdue.push(token);
            }
        }
        self.stop_snapshots(overdue);
    }

    /// Sending a snapshot ended. What the follower really holds shows in its
    /// acknowledgements; here it is only where to probe next.
    pub(super) fn on_snapshot_sent(&mut self, token: SnapshotToken, installed: Option<LogId>) {
        let now = self.now;
        let retry_at = now + self.config.election_timeout_min;
        let end = self.log.last().index.next();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(progress) = leader.followers.sending(token) else {
            return;
        };
        match installed {
            Some(last) if last.index < end => progress.begin_probing(last.index.next()),
            _ => progress.snapshot_failed(retry_at),
        }
    }

    /// A follower answered that it holds `received`: if the log goes on from
    /// there, it needs no snapshot (any more).
    pub(super) fn reconnects(&mut self, node: NodeId, received: LogId) {
        let purged = self.log.purged().index;
        // Our log does not go on from there if we cannot read it.
        let is_broken = self.is_damaged(received.index.next());
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(progress) = leader.followers.get_mut(node) else {
            return;
        };
        if let ProgressState::Snapshot { token } = progress.state
            && !is_broken
            && received.index >= purged
            && received.index.get() > 0
        {
            progress.begin_probing(received.index.next());
            if let Some(token) = token {
                self.outputs.push_back(Output::StopSnapshot(token));
            }
        }
    }

    /// Stops the transfers of a leadership or a follower that is no more.
    pub(super) fn stop_snapshots(&mut self, tokens: impl IntoIterator<Item = SnapshotToken>) {
        self.outputs
            .extend(tokens.into_iter().map(Output::StopSnapshot));
    }

    /// A leader streams a snapshot to us.
    pub(super) fn on_snapshot_offered(&mut self, offer: SnapshotOffer) {
        let SnapshotOffer {
            token,
            from,
            term,
            last_included,
            ..
        } = offer;
        if let Some(reason) = self.objection_to(&offer) {
            return self
                .outputs
                .push_back(Output::RefuseSnapshot { token, reason });
        }
        if !self.hear_leader(from, term) {
            let reason = "a term cannot have two leaders";
            return self
                .outputs
                .push_back(Output::RefuseSnapshot { token, reason });
        }
        if self.gets_there_without(last_included) {
            // Our own log gets us there, and any leader's log agrees with it so far.
            self.verify_up_to(last_included);
            return self.outputs.push_back(Output::SnapshotInstalled(token));
        }
        self.emit(Event::SnapshotInstalling {
            from,
            last_included,
        });
        self.install = Some(Install::of(offer));
    }

    /// Whether our own log brings the state machine as far as `snapshot`.
    fn gets_there_without(&self, snapshot: LogId) -> bool {
        let has_it = snapshot.index <= self.log.commit_index() || self.log.contains(snapshot);
        let is_applying = snapshot.index <= self.applying_up_to;
        has_it && (is_applying || !self.damage_blocks(snapshot.index))
    }

    /// Has the accepted snapshot installed once the vote store is not behind it:
    /// after a crash, a state of a term that the node has never been in would
    /// look as if the disk were another one's.
    pub(super) fn pump_install(&mut self) {
        let durable_term = self.durability.durable_hard_state().current_term;
        if let Some(install) = &mut self.install
            && !install.is_asked
            && install.offer.last_included.term <= durable_term
        {
            install.is_asked = true;
            self.outputs
                .push_back(Output::InstallSnapshot(install.offer.token));
        }
    }

    /// Up to where entries may be committed in view of a snapshot that is being
    /// installed: where the log holds another entry in its place, only below.
    /// No leader commits that; the state machine could not go back any more.
    pub(super) fn snapshot_allows(&self) -> LogIndex {
        let coming = self.install.as_ref().map(|i| i.offer.last_included);
        match coming.filter(|&snapshot| !self.log.contains(snapshot)) {
            Some(snapshot) => snapshot.index.previous().unwrap_or_default(),
            None => LogIndex::new(u64::MAX),
        }
    }

    fn objection_to(&self, offer: &SnapshotOffer) -> Option<&'static str> {
        let (last, own) = (offer.last_included, self.config.replica.node);
        if offer.term < self.hard_state.current_term {
            Some("it comes from a deposed leader")
        } else if offer.term > MAX_TERM || last.term > offer.term {
            Some("its term makes no sense")
        } else if last.index > MAX_INDEX {
            Some("its position makes no sense")
        } else if last.index <= self.log.commit_index() && !self.log.may_agree(last) {
            Some("it contradicts committed entries")
        } else if offer.from.node == own || self.is_from_the_past(offer.from) {
            Some("it comes from an earlier life of a member")
        } else if self.install.is_some() {
            Some("another snapshot is being installed")
        } else if self.is_checkpointing() {
            // What it writes must not replace what a snapshot brings.
            Some("a checkpoint is being written")
        } else {
            None
        }
    }

    /// A leader of `term` is there: one of an earlier term streams to us no more.
    /// What it has sent may not be all of it, so nobody waits for the rest.
    pub(super) fn stop_outdated_install(&mut self, term: Term) {
        let is_waiting = |install: &mut Install| install.offer.term < term && !install.is_asked;
        if let Some(Install { offer, .. }) = self.install.take_if(is_waiting) {
            let (token, reason) = (offer.token, "its leader is none any more");
            self.outputs
                .push_back(Output::RefuseSnapshot { token, reason });
        }
        if let Some(install) = &mut self.install
            && install.offer.term < term
            && !install.is_stopped
        {
            install.is_stopped = true;
            let token = install.offer.token;
            self.outputs.push_back(Output::StopInstall(token));
        }
    }

    /// A committed entry that we hold: the leader's log has it too.
    fn verify_up_to(&mut self, committed: LogId) {
        let index = committed.index.min(self.log.last().index);
        if let Role::Follower(follower) = &mut self.role {
            follower.verified = follower.verified.max(index);
        }
        self.observe_commit(index);
    }

    /// The log starts anew: what agreed with the leader's is gone.
    fn forget_agreement(&mut self) {
        if let Role::Follower(follower) = &mut self.role {
            follower.verified = LogIndex::ZERO;
        }
    }

    /// The state machine holds the snapshot, or could not be restored from it.
    pub(super) fn on_snapshot_restored(&mut self, token: SnapshotToken, ok: bool) {
        let is_meant = |install: &mut Install| install.is_asked && install.offer.token == token;
        let Some(Install { offer, .. }) = self.install.take_if(is_meant) else {
            return;
        };
        if !ok {
            let reason = "it could not be read or restored";
            return self
                .outputs
                .push_back(Output::RefuseSnapshot { token, reason });
        }
        let snapshot = offer.last_included;
        if !self.log.install(snapshot, &offer.membership) {
            self.stage_reset(snapshot);
            self.forget_agreement();
        }
        self.applying_up_to = snapshot.index;
        self.repairs_purged(snapshot.index);
        self.forget_proposals_up_to(snapshot);
        self.verify_up_to(snapshot);
        self.note_state_durable(snapshot.index);
        self.emit(Event::SnapshotInstalled { snapshot });
        self.outputs.push_back(Output::SnapshotInstalled(token));
    }

    /// Proposals that the snapshot may contain: nobody will tell.
    fn forget_proposals_up_to(&mut self, snapshot: LogId) {
        let reason = "a snapshot took the place of the entries";
        let forgotten: Vec<u64> = self
            .proposals
            .iter()
            .filter(|(_, pending)| pending.term <= snapshot.term)
            .map(|(sequence, _)| sequence)
            .collect();
        for sequence in forgotten {
            self.proposals.remove(sequence);
            self.fail_proposal(Ticket(sequence), ProposeError::Unknown { reason });
        }
    }

    /// Whether the state machine is being replaced: nothing is applied meanwhile.
    pub(super) fn is_installing(&self) -> bool {
        self.install.is_some()
    }

    /// The membership in force at `index`, which goes with a snapshot taken there.
    pub fn membership_at(&self, index: LogIndex) -> Arc<Membership> {
        Arc::clone(self.log.membership_at(index))
    }
}
