//! What clients did and saw.

use std::collections::BTreeMap;

/// What a client did to a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Action {
    /// Wrote this value.
    Write(u64),
    /// Read this value; nothing if the key was never written.
    Read(Option<u64>),
}

/// One operation of one client.
///
/// A write that certainly had no effect belongs in no history, and neither does a
/// read without an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Operation {
    /// Who; for the export.
    pub client: u64,
    /// The register.
    pub key: u64,
    /// What.
    pub action: Action,
    /// When the client began, by a clock that all clients share.
    pub invoked: u64,
    /// When it had its answer; nothing if it never had one: such a write may take
    /// effect at any later time, or never.
    pub returned: Option<u64>,
    /// The log index at which it took effect, where known: a write's own entry, or
    /// the last entry applied when a read was served.
    pub index: Option<u64>,
}

impl Operation {
    /// When it was over; the end of time if it never was.
    pub(super) fn end(&self) -> u64 {
        self.returned.unwrap_or(u64::MAX)
    }

    /// Whether it was over before `other` began.
    pub(super) fn precedes(&self, other: &Self) -> bool {
        self.end() < other.invoked
    }

    pub(super) const fn is_write(&self) -> bool {
        matches!(self.action, Action::Write(_))
    }
}

/// What all clients did and saw, in any order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct History {
    operations: Vec<Operation>,
}

impl History {
    /// Adds an operation.
    ///
    /// # Panics
    ///
    /// When it ends before it begins, or is a read without an answer.
    pub fn push(&mut self, operation: Operation) {
        assert!(
            operation.invoked <= operation.end(),
            "an operation ends before it begins: {operation:?}"
        );
        assert!(
            operation.is_write() || operation.returned.is_some(),
            "a read without an answer says nothing: {operation:?}"
        );
        self.operations.push(operation);
    }

    /// All operations, as they were added.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operations of each key: keys do not depend on each other.
    pub(super) fn by_key(&self) -> BTreeMap<u64, Vec<Operation>> {
        let mut keys = BTreeMap::<u64, Vec<Operation>>::new();
        for operation in &self.operations {
            keys.entry(operation.key).or_default().push(*operation);
        }
        keys
    }
}

impl FromIterator<Operation> for History {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        let mut history = Self::default();
        operations.into_iter().for_each(|o| history.push(o));
        history
    }
}
