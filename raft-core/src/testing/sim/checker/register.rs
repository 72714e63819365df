//! P16 as clients see it: what all writes and reads of a run did fits one register
//! (Thesis §6.4; [`linearizability`](crate::testing::linearizability)).
//!
//! Judged at the end of a run, twice: by the order that the log gives, and by nothing
//! but values and times.

use std::collections::{BTreeMap, HashSet};

use super::Check;
use crate::testing::linearizability::{Action, History, Operation, Verdict, witness, zones};
use crate::testing::sim::report::Violation;
use crate::types::{LogIndex, RequestId};

/// The one key of a run: every write replaces the value of the one before.
const KEY: u64 = 0;

/// What clients did and saw so far.
#[derive(Debug, Default)]
pub(crate) struct Register {
    writes: BTreeMap<RequestId, Operation>,
    /// When the reads began that have no answer yet.
    reads: BTreeMap<RequestId, u64>,
    seen: Vec<Operation>,
}

impl Register {
    /// At `now`, a client asks to write `value`.
    pub(crate) fn writes(&mut self, request: RequestId, value: u64, now: u64) {
        let operation = Operation {
            client: request.boot,
            key: KEY,
            action: Action::Write(value),
            invoked: now,
            returned: None,
            index: None,
        };
        self.writes.insert(request, operation);
    }

    /// A write is committed at `index`.
    pub(crate) fn committed(&mut self, request: RequestId, index: LogIndex) {
        if let Some(write) = self.writes.get_mut(&request) {
            write.index = Some(index.get());
        }
    }

    /// Its client is told so, at `now`.
    pub(crate) fn acknowledged(&mut self, request: RequestId, now: u64) {
        if let Some(write) = self.writes.get_mut(&request) {
            write.returned = Some(now);
        }
    }

    /// The client of a write is told that it had no effect.
    pub(crate) fn refused(&mut self, request: RequestId) {
        self.writes.remove(&request);
    }

    /// At `now`, a client asks to read.
    pub(crate) fn reads(&mut self, request: RequestId, now: u64) {
        self.reads.insert(request, now);
    }

    /// At `now`, a client gets `found`, from a state that holds all up to `applied`.
    pub(crate) fn read(
        &mut self,
        request: RequestId,
        found: Option<u64>,
        applied: LogIndex,
        now: u64,
    ) {
        if let Some(invoked) = self.reads.remove(&request) {
            self.seen.push(Operation {
                client: request.boot,
                key: KEY,
                action: Action::Read(found),
                invoked,
                returned: Some(now),
                index: Some(applied.get()),
            });
        }
    }

    /// Whether one register explains all of it.
    pub(crate) fn judge(&self) -> Check {
        let operations = self.writes.values().chain(&self.seen);
        let history: History = operations.copied().collect();
        let by_log = ("by the log", witness::check(&history));
        // The lab's clients say the same to several nodes.
        let by_zones = (!self.values_repeat()).then(|| ("by zones", zones::check(&history)));
        for (how, verdict) in [Some(by_log), by_zones].into_iter().flatten() {
            if let Verdict::Violated(why) = verdict {
                let reason = format!("{how}: {why}");
                return Err(Violation::new("P16 reads are linearizable", reason));
            }
        }
        Ok(())
    }

    fn values_repeat(&self) -> bool {
        let mut seen = HashSet::new();
        let mut writes = self.writes.values();
        writes.any(|write| match write.action {
            Action::Write(value) => !seen.insert(value),
            Action::Read(_) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn request(sequence: u64) -> RequestId {
        RequestId { boot: 1, sequence }
    }

    /// Two writes one after the other, both acknowledged.
    fn with_two_writes() -> Register {
        let mut register = Register::default();
        for number in [1, 2] {
            register.writes(request(number), number, 10 * number);
            register.committed(request(number), LogIndex::new(number));
            register.acknowledged(request(number), 10 * number + 5);
        }
        register
    }

    fn read(register: &mut Register, found: u64, applied: u64) {
        register.reads(request(9), 30);
        register.read(request(9), Some(found), LogIndex::new(applied), 31);
    }

    #[test]
    fn what_fits_passes() {
        let mut register = with_two_writes();
        read(&mut register, 2, 2);
        register.judge().unwrap();
    }

    #[test]
    fn a_stale_read_is_caught() {
        let mut register = with_two_writes();
        read(&mut register, 1, 1);
        assert!(register.judge().is_err());
    }

    #[test]
    fn a_state_that_is_not_what_the_log_says_is_caught() {
        let mut register = with_two_writes();
        read(&mut register, 1, 2);
        assert!(register.judge().is_err());
    }

    #[test]
    fn writes_in_the_log_against_the_order_of_time_are_caught() {
        let mut register = with_two_writes();
        register.committed(request(1), LogIndex::new(3));
        assert!(register.judge().is_err());
    }

    #[test]
    fn a_refused_write_that_is_read_is_caught() {
        let mut register = with_two_writes();
        register.refused(request(2));
        read(&mut register, 2, 2);
        assert!(register.judge().is_err());
    }
}
