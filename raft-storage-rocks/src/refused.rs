//! Why RocksDB did not make a write.

use rocksdb::ErrorKind;

/// Why a write was not made.
pub(crate) enum Refused {
    /// RocksDB holds as much in memory as it may until a flush is done.
    Stalled,
    /// There is no space.
    Full(String),
    /// What is on the disk is not known.
    Failed(String),
}

impl Refused {
    /// Whether a flush is waited for. Other reasons come with the same kind.
    pub(crate) fn is_stall(error: &rocksdb::Error) -> bool {
        error.kind() == ErrorKind::Incomplete && error.as_ref().contains("Write stall")
    }
}

impl From<rocksdb::Error> for Refused {
    fn from(error: rocksdb::Error) -> Self {
        if Self::is_stall(&error) {
            Self::Stalled
        } else if says_full(error.as_ref()) {
            Self::Full(error.into_string())
        } else {
            Self::Failed(error.into_string())
        }
    }
}

impl From<Refused> for String {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Stalled => "the store was closed while a flush waited for the disk".into(),
            Refused::Full(reason) | Refused::Failed(reason) => reason,
        }
    }
}

/// RocksDB hands errors over as text; its own limits and the system's differ.
pub(crate) fn says_full(reason: &str) -> bool {
    ["No space left", "NoSpace", "Space limit", "quota exceeded"]
        .iter()
        .any(|words| reason.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let full = "IO error: No space left on device: While appending to file: 000004.log";
        assert!(says_full(full));
        assert!(!says_full("IO error: Input/output error: While fdatasync"));
    }
}
