//! Whose a store is: written at creation, checked at every open.

use std::fmt;
use std::path::Path;

use raft_core::{Incarnation, NodeId, ReplicaId};
use rocksdb::{DB, IteratorMode, WriteOptions};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::keys::{self, COLUMN_FAMILIES, IDENTITY, IDENTITY_KEY};
use crate::record::{self, FORMAT, IdentityBody, RecordError};

/// The owner of a store: one life of one node of one cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster.
    pub cluster: u64,
    /// The node.
    pub node: NodeId,
    /// Which life of the node the store was made for. A group that lost its vote
    /// lives in a later one, which its vote store knows.
    pub incarnation: Incarnation,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replica = ReplicaId {
            node: self.node,
            incarnation: self.incarnation,
        };
        write!(f, "node {replica} of cluster {:x}", self.cluster)
    }
}

/// Refuses a store that is not `expected`'s; makes an empty one his.
pub(crate) fn claim(
    db: &DB,
    path: &Path,
    expected: Identity,
    writes: &WriteOptions,
) -> Result<(), StoreError> {
    match stored(db, path)? {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(StoreError::AnotherNode {
            path: path.into(),
            found,
            expected,
        }),
        None if is_empty(db) => {
            let body = IdentityBody {
                format: FORMAT,
                identity: expected,
            };
            let record = record::encode(IDENTITY_KEY, &body);
            db.put_cf_opt(keys::family(db, IDENTITY), IDENTITY_KEY, record, writes)
                .map_err(|source| engine(path, source))
        }
        None => Err(damaged(path, "it holds records but not whose they are")),
    }
}

/// Whose the store is, if anyone's; refuses formats that are not known here.
pub(crate) fn stored(db: &DB, path: &Path) -> Result<Option<Identity>, StoreError> {
    let unknown = |found| StoreError::UnknownFormat {
        path: path.into(),
        found,
        supported: FORMAT,
    };
    let record = db
        .get_cf(keys::family(db, IDENTITY), IDENTITY_KEY)
        .map_err(|source| engine(path, source))?;
    let Some(record) = record else {
        return Ok(None);
    };
    match record::decode::<IdentityBody>(IDENTITY_KEY, &record) {
        Ok(body) if body.format > FORMAT => Err(unknown(body.format)),
        Ok(body) => Ok(Some(body.identity)),
        // A later format may have changed even this record; its version says so.
        Err(RecordError::Version { version }) => Err(unknown(version.into())),
        Err(error) => Err(damaged(path, &format!("its identity record: {error}"))),
    }
}

fn is_empty(db: &DB) -> bool {
    COLUMN_FAMILIES.iter().all(|name| {
        let mut keys = db.iterator_cf(keys::family(db, name), IteratorMode::Start);
        keys.next().is_none()
    })
}

fn engine(path: &Path, source: rocksdb::Error) -> StoreError {
    StoreError::Engine {
        path: path.into(),
        source,
    }
}

fn damaged(path: &Path, reason: &str) -> StoreError {
    StoreError::Damaged {
        path: path.into(),
        reason: reason.to_owned(),
    }
}
