//! What goes through the log, what comes back, and how both are encoded.
//!
//! Every encoding starts with a version byte. Bincode appears in this file
//! alone; the bytes it writes are part of the log's format, so a change of the
//! types in [`crate::model`] needs a new version here.
//!
//! Members may run different programs, and must not part over a command. So one of a
//! version that a member does not know stops it. Within a version every program, for
//! ever, reads the same bytes as the same command, or refuses them: the version is what
//! a new command, field or limit changes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::{DeleteRange, DeleteRangeResult, KvError, Put, PutResult, Txn, TxnResult};

/// The version that this program writes.
const VERSION: u8 = 1;

/// A write, as it travels through the log.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, serde::Deserialize)]
pub enum Command {
    /// Writes one key.
    Put(Put),
    /// Deletes keys.
    DeleteRange(DeleteRange),
    /// A transaction.
    Txn(Txn),
}

/// What applying a command gave.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, serde::Deserialize)]
pub enum Response {
    /// It was done.
    Ok(Outcome),
    /// It was refused and changed nothing.
    Refused {
        /// Why.
        error: KvError,
        /// The store's revision then.
        revision: i64,
    },
}

/// A command's result.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, serde::Deserialize)]
pub struct Outcome {
    /// The store's revision afterwards.
    pub revision: i64,
    /// The answer to the command.
    pub result: CommandResult,
}

/// The answer to each kind of [`Command`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, serde::Deserialize)]
pub enum CommandResult {
    /// To [`Command::Put`].
    Put(PutResult),
    /// To [`Command::DeleteRange`].
    DeleteRange(DeleteRangeResult),
    /// To [`Command::Txn`].
    Txn(TxnResult),
}

impl Command {
    /// The bytes to propose.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The command that `bytes` hold.
    ///
    /// # Errors
    ///
    /// Bytes of a version that this program does not know, or damaged ones.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes)
    }

    /// Looks whether `bytes` are of a version that this program knows, and at nothing
    /// else. No bytes are of no version: no program ever writes or reads that.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnknownVersion`].
    pub fn check_version(bytes: &[u8]) -> Result<(), DecodeError> {
        match bytes.first() {
            None | Some(&VERSION) => Ok(()),
            Some(&version) => Err(DecodeError::UnknownVersion { version }),
        }
    }
}

impl Response {
    /// The bytes that the state machine answers.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The response that `bytes` hold.
    ///
    /// # Errors
    ///
    /// Bytes of a version that this program does not know, or damaged ones.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes)
    }
}

/// Bytes are not what this program writes.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are no bytes at all.
    #[error("no bytes to decode")]
    Empty,
    /// Another program version wrote them.
    #[error("encoding version {version}, this program knows {VERSION}")]
    UnknownVersion {
        /// The version found.
        version: u8,
    },
    /// The version is known, the rest makes no sense.
    #[error("malformed encoding: {reason}")]
    Malformed {
        /// Where it stopped making sense.
        reason: String,
    },
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bincode::serde::encode_into_std_write(value, &mut bytes, bincode::config::standard())
        .expect("writing to a vector does not fail, and these types serialize without conditions");
    bytes
}

/// Decodes from the slice itself: a length that exceeds it is an error, not an allocation.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    Command::check_version(bytes)?;
    let (_, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
    let malformed = |reason: String| DecodeError::Malformed { reason };
    let (value, used) = bincode::serde::borrow_decode_from_slice(body, bincode::config::standard())
        .map_err(|error| malformed(error.to_string()))?;
    if used != body.len() {
        return Err(malformed(format!("{} bytes left over", body.len() - used)));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Compare, CompareResult, CompareTarget, KeyRange, Op, Range, SortOrder, SortTarget,
    };

    fn put() -> Command {
        Command::Put(Put {
            key: b"k".to_vec(),
            value: b"v".to_vec(),
            prev_kv: true,
            ignore_value: false,
        })
    }

    #[test]
    fn a_command_comes_back_as_it_went() {
        assert_eq!(Command::decode(&put().encode()), Ok(put()));
    }

    #[test]
    fn a_response_comes_back_as_it_went() {
        let response = Response::Refused {
            error: KvError::FutureRevision,
            revision: 7,
        };

        assert_eq!(Response::decode(&response.encode()), Ok(response));
    }

    /// These bytes lie in logs: a change here needs a new version.
    #[test]
    fn the_encoding_of_a_put_is_fixed() {
        assert_eq!(put().encode(), [1, 0, 1, b'k', 1, b'v', 1, 0]);
    }

    /// What version 1 does not know must stay nonsense in it: an older program refuses it
    /// where a newer one would do it, and the two would part. Something new is a new version.
    #[test]
    fn version_1_has_three_commands_four_operations_and_five_things_to_compare() {
        let count = |prefix: &[u8], what: &str| {
            let known = |&number: &u8| {
                let bytes = [prefix, &[number], &[0; 32]].concat();
                match Command::decode(&bytes) {
                    Ok(_) => true,
                    Err(DecodeError::Malformed { reason }) => !reason.contains("variant"),
                    Err(other) => panic!("{what} {number}: {other}"),
                }
            };
            (0..250).filter(known).count()
        };

        let (command, operation) = (&[1][..], &[1, 2, 0, 1][..]);
        let (target, relation) = (&[1, 2, 1, 0, 0, 0][..], &[1, 2, 1, 0, 0][..]);
        let counted = [
            count(command, "command"),
            count(operation, "operation"),
            count(relation, "relation"),
            count(target, "target"),
        ];
        assert_eq!(counted, [3, 4, 4, 5]);
    }

    /// These bytes lie in logs, as those of a put above.
    #[test]
    fn the_encoding_of_a_transaction_is_fixed() {
        let keys = |key: &[u8]| KeyRange {
            key: key.to_vec(),
            range_end: vec![0],
        };
        let range = Range {
            keys: keys(b"r"),
            limit: 1,
            revision: 2,
            sort_order: SortOrder::Descend,
            sort_target: SortTarget::Value,
            keys_only: true,
            count_only: false,
            min_mod_revision: 3,
            max_mod_revision: 4,
            min_create_revision: 5,
            max_create_revision: 6,
        };
        let delete = DeleteRange {
            keys: keys(b"d"),
            prev_kv: true,
        };
        let compare = Compare {
            keys: keys(b"c"),
            result: CompareResult::NotEqual,
            target: CompareTarget::Lease(7),
        };
        let txn = Command::Txn(Txn {
            compare: vec![compare],
            success: vec![Op::Range(range), Op::DeleteRange(delete)],
            failure: vec![Op::Txn(Txn::default())],
        });

        let compare = [1, 1, b'c', 1, 0, 3, 4, 14];
        let range = [0, 1, b'r', 1, 0, 2, 4, 2, 4, 1, 0, 6, 8, 10, 12];
        let delete = [2, 1, b'd', 1, 0, 1];
        let bytes = [
            &[1, 2],
            &compare[..],
            &[2],
            &range,
            &delete,
            &[1, 3, 0, 0, 0],
        ]
        .concat();
        assert_eq!(txn.encode(), bytes);
        assert_eq!(Command::decode(&bytes), Ok(txn));
    }

    #[test]
    fn an_unknown_version_is_named() {
        let mut bytes = put().encode();
        bytes[0] = 9;

        assert_eq!(
            Command::decode(&bytes),
            Err(DecodeError::UnknownVersion { version: 9 })
        );
    }

    #[test]
    fn a_length_beyond_the_bytes_is_malformed_and_allocates_nothing() {
        let key_of_2_to_the_62_bytes = [&[1, 0, 253][..], &(1_u64 << 62).to_le_bytes()].concat();

        let decoded = Command::decode(&key_of_2_to_the_62_bytes);

        assert!(
            matches!(decoded, Err(DecodeError::Malformed { .. })),
            "{decoded:?}"
        );
    }

    #[test]
    fn cut_or_trailing_bytes_are_malformed() {
        let bytes = put().encode();
        let longer = [bytes.as_slice(), &[0]].concat();

        for bad in [&bytes[..bytes.len() - 1], &longer] {
            let decoded = Command::decode(bad);
            assert!(
                matches!(decoded, Err(DecodeError::Malformed { .. })),
                "{decoded:?}"
            );
        }
        assert_eq!(Command::decode(&[]), Err(DecodeError::Empty));
    }
}
