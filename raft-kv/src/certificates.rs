//! The certificate files of a node that runs: read again when they change.
//!
//! Whoever replaces them writes one file after the other, so a change is taken
//! up when nothing has changed any more for one look. What cannot be used is
//! logged and leaves the node as it was; it is tried again when the files change, and
//! every ten looks.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use raft_transport_quic::{CertificateError, NodeCertificates, QuicNetwork};
use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::config::TlsFiles;
use crate::server::with_causes;

/// How often the files are looked at. It costs four questions to the file system.
const LOOK: Duration = Duration::from_secs(1);

/// After so many looks files that could not be used are read again.
const TRY_AGAIN_EVERY: u64 = 10;

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
    /// Why they could not be used then.
    failure: Mutex<Option<String>>,
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
            failure: Mutex::new(None),
            network,
        }
    }

    /// Reads the files and uses them from then on, if they are fit for it.
    pub(crate) fn reload(&self) {
        self.remember(Stamps::of(&self.files));
        let outcome = load(&self.files).and_then(|certificates| self.network.reload(certificates));
        let failure = outcome.err().map(|error| with_causes(&error));
        let mut before = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = failure.as_ref().filter(|_| *before != failure) {
            warn!(
                error,
                "the files under tls cannot be used; the node goes on with those it has"
            );
        }
        *before = failure;
    }

    /// Whether the last reading failed. What it failed of may pass without a change of
    /// the files: a disk that did not answer, a certificate that was not good yet.
    fn has_failed(&self) -> bool {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.is_some()
    }

    /// Reloads whenever the files have changed.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK);
        // Two looks right after each other would see files as settled that are not.
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0_u64;
        let mut before = Stamps::of(&self.files);
        loop {
            look.tick().await;
            let now = Stamps::of(&self.files);
            let is_settled = now == before;
            before = now.clone();
            looks += 1;
            let is_due = now != self.last_read()
                || self.has_failed() && looks.is_multiple_of(TRY_AGAIN_EVERY);
            if is_settled && is_due {
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
