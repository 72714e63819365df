//! P16, as far as one index shows it: a read sees every write that was
//! acknowledged to anyone before the read began (Thesis §6.4).

use std::collections::BTreeMap;

use super::Check;
use crate::testing::sim::report::Violation;
use crate::types::{LogIndex, NodeId, RequestId};

/// The reads under way and the highest acknowledged index.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    acknowledged: LogIndex,
    /// What each read must see at least.
    floors: BTreeMap<RequestId, LogIndex>,
}

impl Reads {
    /// A write at `index` was acknowledged to its client.
    pub(crate) fn acknowledged(&mut self, index: LogIndex) {
        self.acknowledged = self.acknowledged.max(index);
    }

    /// A client asks to read.
    pub(crate) fn began(&mut self, read: RequestId) {
        self.floors.insert(read, self.acknowledged);
    }

    /// `node` serves the read at `index`, when its state holds everything up to `applied`.
    pub(crate) fn served(
        &mut self,
        node: NodeId,
        read: RequestId,
        index: LogIndex,
        applied: LogIndex,
    ) -> Check {
        let floor = self.end(node, read)?;
        if index >= floor && applied >= index {
            return Ok(());
        }
        let reason = format!(
            "{node} serves a read at {index} with {applied} applied; {floor} was acknowledged before it began"
        );
        Err(Violation::new("P16 reads are linearizable", reason))
    }

    /// The read was refused, or ended without an answer.
    pub(crate) fn failed(&mut self, node: NodeId, read: RequestId) -> Check {
        self.end(node, read).map(|_| ())
    }

    /// The start `boot` ended in a crash.
    pub(crate) fn crashed(&mut self, boot: u64) {
        self.floors.retain(|read, _| read.boot != boot);
    }

    /// At the end of a run, every read has its outcome.
    pub(crate) fn all_ended(&self) -> Check {
        match self.floors.keys().next() {
            None => Ok(()),
            Some(read) => Err(Violation::new(
                "every read ends once",
                format!(
                    "read {} of start {:x} has no outcome",
                    read.sequence, read.boot
                ),
            )),
        }
    }

    fn end(&mut self, node: NodeId, read: RequestId) -> Result<LogIndex, Violation> {
        self.floors.remove(&read).ok_or_else(|| {
            let reason = format!("{node} ends read {} that is not open", read.sequence);
            Violation::new("every read ends once", reason)
        })
    }
}

/// `node` serves a local read at `index`, having applied up to `applied`.
pub(crate) fn local(node: NodeId, index: LogIndex, applied: LogIndex) -> Check {
    if index == applied {
        return Ok(());
    }
    let reason = format!("{node} calls its state that of {index}, it is that of {applied}");
    Err(Violation::new(
        "P16 local reads say how old they are",
        reason,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: RequestId = RequestId {
        boot: 9,
        sequence: 1,
    };

    fn began_after(acknowledged: u64) -> Reads {
        let mut reads = Reads::default();
        reads.acknowledged(LogIndex::new(acknowledged));
        reads.began(READ);
        reads
    }

    fn serve(reads: &mut Reads, index: u64, applied: u64) -> Check {
        let (index, applied) = (LogIndex::new(index), LogIndex::new(applied));
        reads.served(NodeId::new(1), READ, index, applied)
    }

    #[test]
    fn a_stale_read_is_caught() {
        assert!(serve(&mut began_after(5), 4, 9).is_err());
        serve(&mut began_after(5), 5, 5).unwrap();
    }

    #[test]
    fn a_read_before_its_index_is_applied_is_caught() {
        assert!(serve(&mut began_after(5), 6, 5).is_err());
    }

    #[test]
    fn a_write_acknowledged_later_need_not_be_seen() {
        let mut reads = began_after(5);
        reads.acknowledged(LogIndex::new(8));
        serve(&mut reads, 5, 5).unwrap();
    }

    #[test]
    fn a_local_read_that_tells_another_index_is_caught() {
        let at = LogIndex::new;
        assert!(local(NodeId::new(1), at(4), at(5)).is_err());
        local(NodeId::new(1), at(5), at(5)).unwrap();
    }

    #[test]
    fn a_second_outcome_and_none_are_caught() {
        let mut reads = began_after(5);
        assert!(reads.all_ended().is_err());
        serve(&mut reads, 5, 5).unwrap();
        assert!(serve(&mut reads, 5, 5).is_err());
        reads.all_ended().unwrap();
    }
}
