//! The records that say where a state stands.

use raft_core::{AppliedState, LogId, Membership, StorageError};
use rocksdb::{ColumnFamily, WriteBatch};

use super::corrupt;
use crate::record::{self, AppliedBody, AppliedMembershipBody, Body};

/// The column family of these records.
pub(super) const RAFT: &str = "raft";

const APPLIED: &[u8] = b"applied";
/// Key of the membership in force.
pub(super) const MEMBERSHIP: &[u8] = b"membership";

/// Adds the position to a batch, so that it lands together with the data.
pub(super) fn put(batch: &mut WriteBatch, family: &ColumnFamily, applied: &AppliedState) {
    let body = AppliedBody(applied.last_applied);
    batch.put_cf(family, APPLIED, record::encode(APPLIED, &body));
    if let Some(membership) = &applied.membership {
        let body = AppliedMembershipBody(membership.clone());
        batch.put_cf(family, MEMBERSHIP, record::encode(MEMBERSHIP, &body));
    }
}

/// The position of which `get` finds the records.
pub(super) fn read(
    get: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, StorageError>,
) -> Result<AppliedState, StorageError> {
    let last_applied = match get(APPLIED)? {
        Some(bytes) => decode::<AppliedBody>(APPLIED, &bytes)?.0,
        None => LogId::ZERO,
    };
    let membership: Option<Membership> = match get(MEMBERSHIP)? {
        Some(bytes) => Some(decode::<AppliedMembershipBody>(MEMBERSHIP, &bytes)?.0),
        None => None,
    };
    Ok(AppliedState {
        last_applied,
        membership,
    })
}

fn decode<T: Body>(key: &[u8], bytes: &[u8]) -> Result<T, StorageError> {
    let what = || format!("the record of the state's {}", key.escape_ascii());
    record::decode(key, bytes).map_err(|error| corrupt(what(), error))
}
