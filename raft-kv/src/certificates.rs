//! The certificate files of a node that runs: read again when they change.
//!
//! Whoever replaces them writes one file after the other, so a change is taken
//! up when nothing has changed any more for one look. What cannot be used is
//! logged and leaves the node as it was; the next change is another try.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use raft_transport_quic::{CertificateError, NodeCertificates, QuicNetwork};
use tracing::warn;

use crate::config::TlsFiles;
use crate::server::with_causes;

/// How often the files are looked at. It costs four questions to the file system.
const LOOK: Duration = Duration::from_secs(1);

/// Reads what the configuration names.
pub(crate) fn load(files: &TlsFiles) -> Result<NodeCertificates, CertificateError> {
    let certificates = NodeCertificates::load_files(&files.ca, &files.certificate, &files.key)?;
    match &files.revoked {
        Some(revoked) => certificates.with_revoked_file(revoked),
        None => Ok(certificates),
    }
}

/// The files, and what takes them over.
pub(crate) struct CertificateFiles {
    files: TlsFiles,
    /// As they were when they were read last.
    read: Mutex<Stamps>,
    network: Arc<QuicNetwork>,
}

/// How files look from outside; another look means another content.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Stamps(Vec<Option<(SystemTime, u64)>>);

impl Stamps {
    /// As the files are now.
    pub(crate) fn of(files: &TlsFiles) -> Self {
        let paths = [&files.ca, &files.certificate, &files.key]
            .into_iter()
            .chain(&files.revoked);
        Self(paths.map(|path| stamp(path)).collect())
    }
}

/// When a file was changed last, and its length; nothing while it is not there.
fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

impl CertificateFiles {
    /// Files that `network` uses as they were at `read`.
    pub(crate) const fn new(files: TlsFiles, read: Stamps, network: Arc<QuicNetwork>) -> Self {
        Self {
            files,
            read: Mutex::new(read),
            network,
        }
    }

    /// Reads the files and uses them from then on, if they are fit for it.
    pub(crate) fn reload(&self) {
        self.remember(Stamps::of(&self.files));
        let outcome = load(&self.files).and_then(|certificates| self.network.reload(certificates));
        if let Err(error) = outcome {
            let error = with_causes(&error);
            warn!(
                error,
                "the files under tls cannot be used; the node goes on with those it has"
            );
        }
    }

    /// Reloads whenever the files have changed.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK);
        let mut before = Stamps::of(&self.files);
        loop {
            look.tick().await;
            let now = Stamps::of(&self.files);
            let is_settled = now == before;
            before = now.clone();
            if is_settled && now != self.last_read() {
                self.reload();
            }
        }
    }

    fn last_read(&self) -> Stamps {
        let read = self.read.lock();
        read.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, stamps: Stamps) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = stamps;
    }
}
