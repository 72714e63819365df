//! What an error says about the request: whether it certainly had no effect.

use std::error::Error;
use std::io;

use tonic::{Code, Status};

/// Texts with which raft-kv refuses a request that it has not begun.
const REFUSALS: [&str; 4] = [
    "etcdserver: no leader",
    "etcdserver: mvcc: database space exceeded",
    "etcdserver: too many requests",
    "etcdserver: server stopped",
];

/// What became of a write that was answered by an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It has no effect and never will: writing again is safe.
    Refused,
    /// It may have, or may still get, its effect.
    Unknown,
}

impl Verdict {
    pub(crate) fn of(status: &Status) -> Self {
        let is_refusal = REFUSALS.contains(&status.message()) || was_never_sent(status);
        if is_refusal {
            Self::Refused
        } else {
            Self::Unknown
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether there was not even a connection.
fn was_never_sent(status: &Status) -> bool {
    if status.code() != Code::Unavailable {
        return false;
    }
    causes(status).any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    })
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(status.source(), |&error| error.source())
}

/// Code, text and innermost cause, in one line.
pub(crate) fn describe(status: &Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    if let Some(cause) = causes(status).last() {
        text = format!("{text} ({cause})");
    }
    if let Some(reason) = status.metadata().get("raft-kv-reason") {
        text = format!("{text} ({})", String::from_utf8_lossy(reason.as_bytes()));
    }
    text.replace('\n', " ")
}
