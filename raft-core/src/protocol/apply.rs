//! Hands committed entries to the state machine, in order, a batch at a time.

use super::log::Fetched;
use super::output::{Apply, Output, ReadLog, ReadToken};
use super::{LogReadPurpose, Raft};
use crate::entry::LogSlice;
use crate::types::LogIndex;

impl Raft {
    /// Hands out the next batch when the previous one is applied.
    pub(super) fn pump_apply(&mut self) {
        let (applied, target) = (self.log.last_applied(), self.log.applicable_index());
        if self.is_installing() || self.is_damaged(applied.next()) || self.apply_retry_at.is_some()
        {
            return;
        }
        if self.applying_up_to > applied || target <= applied || self.reads_log_for_apply() {
            return;
        }
        let max_bytes = self.config.max_apply_bytes;
        match self.fetch_log(applied.next(), target, usize::MAX, max_bytes) {
            Fetched::Entries(entries) => self.apply(entries),
            Fetched::OnDisk(last) => {
                self.read_log(LogReadPurpose::Apply, applied.next(), last, max_bytes);
            }
        }
    }

    fn reads_log_for_apply(&self) -> bool {
        self.log_reads
            .values()
            .any(|purpose| *purpose == LogReadPurpose::Apply)
    }

    fn apply(&mut self, entries: LogSlice) {
        let Some(last) = entries.last() else { return };
        self.applying_up_to = last.index;
        self.count_applied(entries.len(), entries.size());
        let proposals = self.settle_proposals(&entries);
        self.outputs
            .push_back(Output::Apply(Apply { entries, proposals }));
    }

    /// The log was read for the state machine.
    pub(super) fn on_read_for_apply(&mut self, entries: LogSlice) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            // Not now: asking again at once would only spin.
            let next = self.log.last_applied().next();
            let retry_at = self.now + self.config.heartbeat_interval / 10;
            self.apply_retry_at = (!self.is_damaged(next)).then_some(retry_at);
            return;
        };
        let fits = !self.is_installing()
            && first.index == self.log.last_applied().next()
            && last.index <= self.log.applicable_index();
        if fits && self.log.contains(first) && self.log.contains(last) {
            self.apply(entries);
        }
    }

    /// The state machine applied up to `index`.
    pub(super) fn on_applied(&mut self, index: LogIndex) {
        assert!(
            index <= self.applying_up_to,
            "{index} was applied without being asked for"
        );
        self.log.set_applied(index);
    }

    /// Asks for entries that are in the log store alone.
    pub(super) fn read_log(
        &mut self,
        purpose: LogReadPurpose,
        first: LogIndex,
        last: LogIndex,
        max_bytes: usize,
    ) {
        self.last_read_token = ReadToken(self.last_read_token.0 + 1);
        let token = self.last_read_token;
        self.log_reads.insert(token, purpose);
        self.outputs.push_back(Output::ReadLog(ReadLog {
            token,
            first,
            last,
            max_bytes,
        }));
    }
}
