//! How the database is set up, with reasons.

use rocksdb::{DBRecoveryMode, Options, WriteOptions};

/// What a user may choose. The defaults suit a log that is purged now and then.
#[derive(Clone, Debug)]
pub struct RocksOptions {
    /// Bytes of memtable per column family of the log. Large, so that entries are
    /// mostly purged before they reach a table file. Default 64 MiB.
    pub write_buffer_bytes: usize,
    /// Whether a write is synced before it returns. Default true; anything else
    /// loses acknowledged writes in a power cut and is for measuring alone.
    pub sync: bool,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            write_buffer_bytes: 64 << 20,
            sync: true,
        }
    }
}

impl RocksOptions {
    pub(crate) fn database(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_write_buffer_size(self.write_buffer_bytes);
        // A recycled file needs no new blocks, so a sync writes data alone.
        options.set_recycle_log_file_num(4);
        // A kill may tear the last record, which then was never acknowledged;
        // recycled files end in old records. Both are the end of the log.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(4);
        options
    }

    pub(crate) fn writes(&self) -> WriteOptions {
        let mut options = WriteOptions::default();
        options.set_sync(self.sync);
        options
    }
}
