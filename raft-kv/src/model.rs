//! Requests and answers of the key-value store, apart from any wire format.
//!
//! The gRPC layer turns protobuf messages into these, the state machine works
//! on these, and `command.rs` encodes them for the log. Semantics are etcd's.

use serde::{Deserialize, Serialize};

/// A key or a value: any bytes.
pub type Bytes = Vec<u8>;

/// One key with its value and history, as of some revision.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct KeyValue {
    /// The key.
    #[serde(with = "byte_string")]
    pub key: Bytes,
    /// The value; empty when only keys were asked for.
    #[serde(with = "byte_string")]
    pub value: Bytes,
    /// Revision of the write that created the key.
    pub create_revision: i64,
    /// Revision of the last write to the key.
    pub mod_revision: i64,
    /// Counts the writes since creation, from 1.
    pub version: i64,
}

/// Which keys: one, a half-open range, or everything from a key on.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct KeyRange {
    /// First key.
    #[serde(with = "byte_string")]
    pub key: Bytes,
    /// End: empty for the one key, a single zero byte for "to the end", else excluded.
    #[serde(with = "byte_string")]
    pub range_end: Bytes,
}

/// How the answer of a range is ordered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub enum SortOrder {
    /// By key, ascending.
    #[default]
    None,
    /// Ascending by the target.
    Ascend,
    /// Descending by the target.
    Descend,
}

/// What the answer of a range is ordered by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The version.
    Version,
    /// The create revision.
    Create,
    /// The mod revision.
    Mod,
    /// The value.
    Value,
}

/// Reads keys.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Which keys.
    pub keys: KeyRange,
    /// Most keys to answer; 0 for all.
    pub limit: i64,
    /// The revision to read at; 0 or below for the latest.
    pub revision: i64,
    /// Order.
    pub sort_order: SortOrder,
    /// What the order looks at.
    pub sort_target: SortTarget,
    /// Leave the values out.
    pub keys_only: bool,
    /// Answer the count alone.
    pub count_only: bool,
    /// Skip keys last modified before this revision; 0 for none.
    pub min_mod_revision: i64,
    /// Skip keys last modified after this revision; 0 for none.
    pub max_mod_revision: i64,
    /// Skip keys created before this revision; 0 for none.
    pub min_create_revision: i64,
    /// Skip keys created after this revision; 0 for none.
    pub max_create_revision: i64,
}

/// Answer to [`Range`].
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct RangeResult {
    /// The keys.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut keys off.
    pub more: bool,
    /// How many keys lie in the range, whatever the limit and the filters.
    pub count: i64,
}

/// Writes one key.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Put {
    /// The key.
    #[serde(with = "byte_string")]
    pub key: Bytes,
    /// The value.
    #[serde(with = "byte_string")]
    pub value: Bytes,
    /// Answer what was there before.
    pub prev_kv: bool,
    /// Keep the value; the key must exist.
    pub ignore_value: bool,
}

/// Answer to [`Put`].
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct PutResult {
    /// What was there before, if asked for and present.
    pub prev_kv: Option<KeyValue>,
}

/// Deletes keys.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct DeleteRange {
    /// Which keys.
    pub keys: KeyRange,
    /// Answer what was deleted.
    pub prev_kv: bool,
}

/// Answer to [`DeleteRange`].
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct DeleteRangeResult {
    /// How many keys were deleted.
    pub deleted: i64,
    /// What they were, if asked for.
    pub prev_kvs: Vec<KeyValue>,
}

/// How a compare relates the stored to the given.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum CompareResult {
    /// Equal.
    Equal,
    /// Stored above given.
    Greater,
    /// Stored below given.
    Less,
    /// Different.
    NotEqual,
}

/// What a compare looks at, with the given value.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum CompareTarget {
    /// The version.
    Version(i64),
    /// The create revision.
    Create(i64),
    /// The mod revision.
    Mod(i64),
    /// The value.
    Value(#[serde(with = "byte_string")] Bytes),
    /// The lease.
    Lease(i64),
}

/// A condition of a transaction.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Compare {
    /// Which keys; all of a range must satisfy it.
    pub keys: KeyRange,
    /// The relation.
    pub result: CompareResult,
    /// What is compared.
    pub target: CompareTarget,
}

/// One operation of a transaction.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// Read.
    Range(Range),
    /// Write.
    Put(Put),
    /// Delete.
    DeleteRange(DeleteRange),
    /// A transaction inside.
    Txn(Txn),
}

/// If all of `compare` hold then `success`, else `failure`; all at one revision.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Txn {
    /// The conditions.
    pub compare: Vec<Compare>,
    /// What to do if they hold.
    pub success: Vec<Op>,
    /// What to do if not.
    pub failure: Vec<Op>,
}

/// Answer to one [`Op`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum OpResult {
    /// To a read.
    Range(RangeResult),
    /// To a write.
    Put(PutResult),
    /// To a delete.
    DeleteRange(DeleteRangeResult),
    /// To a transaction.
    Txn(TxnResult),
}

/// Answer to [`Txn`].
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct TxnResult {
    /// Whether the conditions held.
    pub succeeded: bool,
    /// One answer per operation of the branch taken.
    pub results: Vec<OpResult>,
}

/// Why the store refused a request; each has etcd's code and text in `api/error.rs`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// A key was empty.
    #[error("key is not provided")]
    EmptyKey,
    /// A put with `ignore_value` of a key that does not exist.
    #[error("key not found")]
    KeyNotFound,
    /// One branch writes a key twice.
    #[error("duplicate key given in txn request")]
    DuplicateKey,
    /// More operations than allowed.
    #[error("too many operations in txn request")]
    TooManyOps,
    /// A revision beyond the latest.
    #[error("required revision is a future revision")]
    FutureRevision,
    /// A revision that was compacted.
    #[error("required revision has been compacted")]
    Compacted,
    /// A value was given together with `ignore_value`.
    #[error("value is provided")]
    ValueProvided,
    /// A command of the log makes no sense to any version of the program.
    #[error("malformed command: {0}")]
    MalformedCommand(String),
    /// The reads of a transaction answer more than a member is willing to hold.
    #[error("request is too large")]
    AnswerTooLarge,
}

/// Keys and values as one run of bytes instead of a list of numbers: the encoding
/// is the same, but it is copied at once.
mod byte_string {
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    use super::Bytes;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    /// Asks for borrowed bytes, whose length is checked before anything is set aside.
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        from.deserialize_bytes(ByteString)
    }

    struct ByteString;

    impl Visitor<'_> for ByteString {
        type Value = Bytes;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a run of bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Bytes) -> Result<Bytes, E> {
            Ok(bytes)
        }
    }
}
