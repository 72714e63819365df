//! What a reader met that RocksDB could not read.
//!
//! An entry may be damaged although RocksDB reads it: then its bytes were other ones when
//! they were written, and that does not stand in the way of a merge. A block of a table
//! file whose checksum does not match does, also when a copy stands in for its entry.

use std::cell::RefCell;

use rocksdb::LiveFile;

/// A column family, and a key in it if that is known.
type Place = (&'static str, Option<Vec<u8>>);

/// Where something could not be read.
#[derive(Default)]
pub(crate) struct Unreadable(RefCell<Vec<Place>>);

impl Unreadable {
    /// The record under this key of a column family.
    pub(crate) fn note_key(&self, family: &'static str, key: &[u8]) {
        self.0.borrow_mut().push((family, Some(key.to_vec())));
    }

    /// Somewhere in a column family.
    pub(crate) fn note(&self, family: &'static str) {
        self.0.borrow_mut().push((family, None));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Whether it may be this table file.
    pub(crate) fn may_be(&self, file: &LiveFile) -> bool {
        let places = self.0.borrow();
        places.iter().any(|(family, key)| match key {
            Some(key) => spans(file, family, key),
            None => file.column_family_name == *family,
        })
    }
}

/// Whether a table file may hold the record under `key`. A prefix of a key that is there
/// counts as within.
pub(crate) fn spans(file: &LiveFile, family: &str, key: &[u8]) -> bool {
    let (start, end) = (file.start_key.as_deref(), file.end_key.as_deref());
    let begins = start.is_some_and(|start| start <= key || start.starts_with(key));
    let ends = end.is_some_and(|end| key <= end || end.starts_with(key));
    file.column_family_name == family && begins && ends
}
