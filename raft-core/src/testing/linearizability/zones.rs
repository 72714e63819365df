//! Registers whose writes all write different values (Gibbons and Korach 1997).
//!
//! A value's operations are its write and the reads that found it. Its zone lies
//! between the moment at which the first of them was over and the moment at which the
//! last of them began. If the former comes first, the register held the value through
//! all of the zone; else it may have held it for a moment only, somewhere in the zone.

use std::collections::BTreeMap;

use super::Verdict;
use super::history::{Action, History, Operation};

/// Checks each key by the zones of its values.
///
/// # Panics
///
/// When two writes to a key write the same value.
pub fn check(history: &History) -> Verdict {
    for (key, operations) in history.by_key() {
        if let Err(why) = check_register(&operations) {
            return Verdict::Violated(format!("key {key}: {why}"));
        }
    }
    Verdict::Linearizable
}

/// The operations of one value. Times are wider than clients', so that there is one
/// before all of them.
#[derive(Clone, Copy, Debug)]
struct Zone {
    /// When the first of them was over.
    first_end: i128,
    /// When the last of them began.
    last_begin: i128,
}

impl Zone {
    fn of(operation: &Operation) -> Self {
        Self {
            first_end: operation.end().into(),
            last_begin: operation.invoked.into(),
        }
    }

    fn add(&mut self, operation: &Operation) {
        self.first_end = self.first_end.min(operation.end().into());
        self.last_begin = self.last_begin.max(operation.invoked.into());
    }

    /// Whether the register held the value all through.
    const fn is_forward(&self) -> bool {
        self.first_end < self.last_begin
    }
}

fn check_register(operations: &[Operation]) -> Result<(), String> {
    let zones = zones(operations)?;
    let (mut forward, backward): (Vec<_>, Vec<_>) =
        zones.into_iter().partition(|(_, zone)| zone.is_forward());
    forward.sort_by_key(|(_, zone)| zone.first_end);
    for pair in forward.windows(2) {
        let ((one, first), (two, second)) = (pair[0], pair[1]);
        if second.first_end < first.last_begin {
            return Err(format!(
                "it held {one:?} and {two:?} at the same time: {first:?}, {second:?}"
            ));
        }
    }
    for (value, moment) in backward {
        // The only one that can contain it is the last that begins before it does.
        let before = forward.partition_point(|(_, zone)| zone.first_end < moment.last_begin);
        let Some((other, zone)) = before.checked_sub(1).map(|at| forward[at]) else {
            continue;
        };
        if moment.first_end < zone.last_begin {
            return Err(format!(
                "it held {other:?} all the time in which it must have held {value:?}: {zone:?}, {moment:?}"
            ));
        }
    }
    Ok(())
}

/// The zone of each value, and of the state before any write.
fn zones(operations: &[Operation]) -> Result<BTreeMap<Option<u64>, Zone>, String> {
    let mut writes = BTreeMap::new();
    for operation in operations {
        if let Action::Write(value) = operation.action {
            let twice = writes.insert(value, operation);
            assert!(
                twice.is_none(),
                "{value} is written twice: this is no history for zones"
            );
        }
    }
    // Nobody wrote it, and it was there before everything.
    let mut zones = BTreeMap::from([(
        None,
        Zone {
            first_end: -1,
            last_begin: -1,
        },
    )]);
    for (&value, write) in &writes {
        // Who got no answer and was read by nobody may have had no effect.
        if write.returned.is_some() {
            zones.insert(Some(value), Zone::of(write));
        }
    }
    for read in operations {
        let Action::Read(found) = read.action else {
            continue;
        };
        if let Some(value) = found {
            let Some(write) = writes.get(&value) else {
                return Err(format!("{read:?} found what nobody wrote"));
            };
            if read.precedes(write) {
                return Err(format!(
                    "{read:?} found what was only written later: {write:?}"
                ));
            }
            zones.entry(found).or_insert_with(|| Zone::of(write));
        }
        if let Some(zone) = zones.get_mut(&found) {
            zone.add(read);
        }
    }
    Ok(zones)
}
