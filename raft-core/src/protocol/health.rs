//! A disk that hangs or fails: leadership is handed over, and this node does not
//! campaign until the disk is well.

use super::Raft;
use super::event::Event;
use super::role::Role;
use crate::storage_health::StorageHealth;
use crate::time::Timestamp;

impl Raft {
    /// What the stores say of themselves.
    pub(super) fn on_storage_health(&mut self, health: StorageHealth) {
        self.reported_health = health;
        self.check_health();
    }

    /// Whether writes do not get done: the stores say so, or one takes too long.
    pub(super) fn disk_is_ill(&self) -> bool {
        let patience = self.config.disk_stall_timeout;
        let reported = match self.reported_health {
            StorageHealth::Healthy => false,
            StorageHealth::Stalled { since } => since >= patience,
            StorageHealth::Full | StorageHealth::Closed => true,
        };
        let waited = self.durability.oldest().map(|at| self.now.since(at));
        reported || waited.is_some_and(|waited| waited >= patience)
    }

    /// Whether what this leader appended now would wait for somebody to free space: its
    /// disk is full, and it does not hand over.
    pub(super) fn leads_with_full_disk(&self) -> bool {
        matches!(self.role, Role::Leader(_))
            && self.reported_health == StorageHealth::Full
            && !self.hands_over()
    }

    /// Notices illness and recovery; a leader that is ill hands over. If nobody
    /// takes over, it tries again, and leads on at least half of the time.
    pub(super) fn check_health(&mut self) {
        let is_ill = self.disk_is_ill();
        if is_ill != self.was_ill {
            self.was_ill = is_ill;
            self.ill_hand_over_at = self.now;
            self.emit(Event::DiskHealth { is_ill });
        }
        if is_ill {
            self.hand_over_for_health();
        }
    }

    /// A leader that cannot do its duty hands over; not again before the last try
    /// is over and it has led for as long.
    pub(super) fn hand_over_for_health(&mut self) {
        if self.now >= self.ill_hand_over_at
            && matches!(self.role, Role::Leader(_))
            && !self.hands_over()
            && let Some(to) = self.best_successor()
        {
            self.ill_hand_over_at = self.now + self.config.transfer_timeout * 2;
            self.begin_transfer(to, None);
        }
    }

    /// When a write that is under way will have taken too long.
    pub(super) fn stall_deadline(&self) -> Option<Timestamp> {
        let oldest = self.durability.oldest().filter(|_| !self.was_ill);
        oldest.map(|at| at + self.config.disk_stall_timeout)
    }

    /// Whether this replica may campaign: it votes, knows the membership in force,
    /// its disk works, and its state machine is whole and not far behind.
    ///
    /// A voter that a configuration removes campaigns on until that is committed
    /// (Thesis §4.2.2): it may be the only one whose log can win. Its own vote
    /// counts only in configurations that name it.
    ///
    /// Only what can be read counts as behind: waiting brings nobody past damage, and
    /// those who wait for this replica to lead may have nothing to mend it with.
    pub(super) fn is_fit_to_lead(&self) -> bool {
        let readable = self.log.commit_index().min(self.unbroken_index());
        let backlog = readable.distance_from(self.log.last_applied());
        self.log.may_need(self.config.replica)
            && self.log.membership_is_known()
            && !self.is_installing()
            && !self.disk_is_ill()
            && !self.is_unfit_by_damage()
            && backlog <= self.config.max_campaign_backlog
    }
}
