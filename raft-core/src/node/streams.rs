//! What stands between a snapshot's source and whoever reads it: a guard that
//! ends the reading, a limit on the rate, and a report of progress.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::clock::{Pacer, Stopwatch, within};
use super::inbound::{Completion, Mailbox};
use crate::error::StorageError;
use crate::protocol::SnapshotToken;
use crate::snapshot::SnapshotReader;

/// Progress is worth telling so often.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Into how many portions a second a slow stream is cut, so that each is progress.
const PORTIONS_PER_SECOND: u64 = 4;
/// A portion is not smaller than this, however low the rate.
const SMALLEST_PORTION: u64 = 1 << 10;

/// A reader that ends with an error when it is told to, or when nothing comes for too long.
pub(super) struct Guarded {
    inner: Box<dyn SnapshotReader>,
    patience: Duration,
    stopped: watch::Receiver<Option<&'static str>>,
}

impl Guarded {
    pub(super) const fn new(
        inner: Box<dyn SnapshotReader>,
        patience: Duration,
        stopped: watch::Receiver<Option<&'static str>>,
    ) -> Self {
        Self {
            inner,
            patience,
            stopped,
        }
    }
}

#[async_trait]
impl SnapshotReader for Guarded {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        const DOING: &str = "receiving a snapshot";
        let stopped = async {
            let reason = self.stopped.wait_for(Option::is_some).await;
            reason.ok().and_then(|reason| *reason)
        };
        tokio::select! {
            biased;
            reason = stopped => {
                Err(StorageError::io(DOING, reason.unwrap_or("the node stops")))
            }
            chunk = within(self.patience, self.inner.next_chunk()) => {
                let silent = || StorageError::io(DOING, "nothing came for too long");
                chunk.unwrap_or_else(|| Err(silent()))
            }
        }
    }
}

/// A reader that gives no more than so many bytes a second, in steady portions.
pub(super) struct Paced {
    inner: Box<dyn SnapshotReader>,
    rate: u64,
    pacer: Pacer,
    /// Read, and not given yet.
    rest: Bytes,
}

impl Paced {
    pub(super) fn new(inner: Box<dyn SnapshotReader>, rate: u64) -> Self {
        Self {
            inner,
            rate: rate.max(1),
            pacer: Pacer::started(),
            rest: Bytes::new(),
        }
    }

    /// Takes off what may be given at once.
    fn portion(&mut self) -> Bytes {
        let most = (self.rate / PORTIONS_PER_SECOND).max(SMALLEST_PORTION);
        let len = usize::try_from(most).map_or(self.rest.len(), |most| most.min(self.rest.len()));
        let portion = self.rest.split_to(len);
        let micros = (len as u64).saturating_mul(1_000_000) / self.rate;
        self.pacer.delay_next(Duration::from_micros(micros));
        portion
    }
}

#[async_trait]
impl SnapshotReader for Paced {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        self.pacer.wait().await;
        while self.rest.is_empty() {
            match self.inner.next_chunk().await? {
                Some(chunk) => self.rest = chunk,
                None => return Ok(None),
            }
        }
        Ok(Some(self.portion()))
    }

    fn progressed(&mut self) {
        self.inner.progressed();
    }
}

/// A reader that tells the loop, about once a second at most, that its transfer
/// gets further: it is read on, or the transport says that the receiver is.
pub(super) struct Reporting {
    inner: Box<dyn SnapshotReader>,
    token: SnapshotToken,
    mailbox: Arc<Mailbox>,
    reported: Stopwatch,
}

impl Reporting {
    pub(super) fn new(
        inner: Box<dyn SnapshotReader>,
        token: SnapshotToken,
        mailbox: Arc<Mailbox>,
    ) -> Self {
        Self {
            inner,
            token,
            mailbox,
            reported: Stopwatch::started(),
        }
    }

    fn report(&mut self) {
        if self.reported.starts_again_after(REPORT_INTERVAL) {
            self.mailbox
                .complete(Completion::SnapshotProgress(self.token));
        }
    }
}

#[async_trait]
impl SnapshotReader for Reporting {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        let chunk = self.inner.next_chunk().await;
        self.report();
        chunk
    }

    fn progressed(&mut self) {
        self.inner.progressed();
        self.report();
    }
}
