//! How the process is asked to stop, or to read its files again.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// The signals that ask a process to stop: SIGINT (Ctrl-C) and, on Unix, SIGTERM.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
}

impl Signals {
    /// Catches them from here on; before, they end the process at once.
    ///
    /// # Errors
    ///
    /// When the system does not let us.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns when one has come.
    pub async fn received(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// SIGHUP, with which a process is asked to read its files again; on systems
/// without it, nothing ever comes.
#[derive(Debug)]
pub struct Hangups {
    #[cfg(unix)]
    hangup: Signal,
}

impl Hangups {
    /// Catches them from here on; before, one ends the process.
    ///
    /// # Errors
    ///
    /// When the system does not let us.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when one has come. Safe to drop and call again.
    pub async fn received(&mut self) {
        #[cfg(unix)]
        if self.hangup.recv().await.is_some() {
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// Returns when standard input ends: whoever started this process let go of it, or died.
pub async fn abandoned() {
    let (ended, end) = oneshot::channel::<()>();
    // A thread of its own, because a read of standard input cannot be
    // interrupted: a task that waits in one would hold up the end of the runtime.
    std::thread::spawn(move || {
        // An input that cannot be read has nobody at the other end either.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(ended);
    });
    let _ = end.await;
}
