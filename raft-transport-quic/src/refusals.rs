//! Which connections were refused and why, logged once per change.
//!
//! A peer with a wrong certificate tries for ever. Its first refusal is worth
//! a warning and the thousandth is not. A stranger can have another certificate
//! at each try; so many lines are written for strangers and no more, until some
//! time has passed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quinn::{ConnectionError, TransportErrorCode};
use raft_core::NodeId;

use crate::error::{CloseCode, Direction, Refusal};
use crate::telemetry::{FailureReason, count_handshake_failure};
use crate::trust::plain_reason;

/// Strangers can add to the table, so it is bounded.
const MOST_REMEMBERED: usize = 64;
/// Lines about strangers in one [`PERIOD`].
const MOST_LINES: u32 = 64;
const PERIOD: Duration = Duration::from_secs(60);

/// The refusals so far, one per peer or address and direction.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    state: Mutex<State>,
}

type Key = (Direction, Option<NodeId>, IpAddr);

#[derive(Debug, Default)]
struct State {
    current: BTreeMap<Key, Refusal>,
    last: Option<Refusal>,
    count: u64,
    strangers: Lines,
}

/// The lines about strangers in the present period.
#[derive(Debug, Default)]
struct Lines {
    since: Option<Instant>,
    written: u32,
    kept_back: u64,
}

impl Lines {
    /// Whether one more may be written.
    fn allow(&mut self, now: Instant) -> bool {
        let is_over = self.since.is_none_or(|since| now - since >= PERIOD);
        if is_over {
            if self.kept_back > 0 {
                let refusals = self.kept_back;
                tracing::warn!(
                    refusals,
                    "connections of strangers refused without a line each"
                );
            }
            *self = Self {
                since: Some(now),
                ..Self::default()
            };
        }
        let allowed = self.written < MOST_LINES;
        self.written += u32::from(allowed);
        self.kept_back += u64::from(!allowed);
        allowed
    }
}

impl Refusals {
    /// Remembers a refusal; warns if it is a new one.
    pub(crate) fn record(&self, refusal: Refusal) {
        metrics::counter!("raft_transport_refusals_total").increment(1);
        let key = (refusal.direction, refusal.peer, refusal.address.ip());
        let mut state = self.state();
        let known = state.current.get(&key).map(|r| &r.reason) == Some(&refusal.reason);
        if !known {
            let is_stranger = refusal.peer.is_none();
            if !is_stranger || state.strangers.allow(Instant::now()) {
                warn(&refusal);
            }
            if state.current.len() >= MOST_REMEMBERED {
                state.current.pop_first();
            }
            state.current.insert(key, refusal.clone());
        }
        state.last = Some(refusal);
        state.count += 1;
    }

    /// Forgets the refusals of a peer that is connected now.
    pub(crate) fn forget(&self, peer: NodeId) {
        self.state().current.retain(|key, _| key.1 != Some(peer));
    }

    /// The latest one.
    pub(crate) fn last(&self) -> Option<Refusal> {
        self.state().last.clone()
    }

    /// How many there were, repetitions included.
    pub(crate) fn count(&self) -> u64 {
        self.state().count
    }

    /// Those that still stand.
    pub(crate) fn current(&self) -> Vec<Refusal> {
        self.state().current.values().cloned().collect()
    }

    /// Remembers the end of a connection if it was a refusal by either side.
    pub(crate) fn record_end(
        &self,
        direction: Direction,
        peer: Option<NodeId>,
        address: SocketAddr,
        error: &ConnectionError,
    ) {
        if let Some(reason) = refusal_reason(error) {
            self.record(Refusal {
                direction,
                peer,
                address,
                reason,
            });
        }
    }

    /// Counts a handshake that failed, and remembers it if it was a refusal.
    pub(crate) fn record_handshake(
        &self,
        direction: Direction,
        peer: Option<NodeId>,
        address: SocketAddr,
        error: &ConnectionError,
    ) {
        if let Some(reason) = failure_reason(error) {
            count_handshake_failure(direction, reason);
        }
        self.record_end(direction, peer, address, error);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn(refusal: &Refusal) {
    let Refusal {
        direction,
        peer,
        address,
        reason,
    } = refusal;
    let peer = peer.map(tracing::field::display);
    tracing::warn!(%direction, peer, %address, reason, "connection refused");
}

/// In words, who refused whom and why; nothing if the connection ended otherwise.
fn refusal_reason(error: &ConnectionError) -> Option<String> {
    match error {
        ConnectionError::TransportError(ours) if is_handshake_failure(ours.code) => Some(format!(
            "we refused the peer: {}",
            plain_reason(&ours.reason)
        )),
        ConnectionError::ConnectionClosed(theirs) if is_handshake_failure(theirs.error_code) => {
            let reason = plain_reason(&printable(&theirs.reason));
            Some(format!("the peer refused us: {reason}"))
        }
        ConnectionError::ApplicationClosed(theirs) if CloseCode::is_refusal(theirs.error_code) => {
            let reason = printable(&theirs.reason);
            Some(format!("the peer refused us: {reason}"))
        }
        _ => None,
    }
}

/// Why a handshake failed; nothing if the certificate was refused by us, which
/// is counted where it was looked at.
fn failure_reason(error: &ConnectionError) -> Option<FailureReason> {
    let alert = |code: TransportErrorCode| u64::from(code).checked_sub(TLS_ALERTS.start);
    match error {
        ConnectionError::TransportError(ours) => match alert(ours.code) {
            Some(CERTIFICATE_UNKNOWN) => None,
            Some(CERTIFICATE_REQUIRED) => Some(FailureReason::NoCertificate),
            Some(_) if is_handshake_failure(ours.code) => Some(FailureReason::Protocol),
            _ => Some(FailureReason::Other),
        },
        ConnectionError::ConnectionClosed(theirs) if is_handshake_failure(theirs.error_code) => {
            Some(FailureReason::RefusedByPeer)
        }
        ConnectionError::ApplicationClosed(theirs) if CloseCode::is_refusal(theirs.error_code) => {
            Some(FailureReason::RefusedByPeer)
        }
        ConnectionError::TimedOut => Some(FailureReason::Timeout),
        _ => Some(FailureReason::Other),
    }
}

/// A stranger's words, fit for a log.
fn printable(reason: &[u8]) -> String {
    String::from_utf8_lossy(reason)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// TLS alerts travel as this range of error codes (RFC 9001, 4.8).
const TLS_ALERTS: Range<u64> = 0x100..0x200;
/// What the TLS library says for our own reasons (RFC 8446, 6).
const CERTIFICATE_UNKNOWN: u64 = 46;
const CERTIFICATE_REQUIRED: u64 = 116;

fn is_handshake_failure(code: TransportErrorCode) -> bool {
    TLS_ALERTS.contains(&u64::from(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_so_many_lines_in_a_period_and_again_in_the_next() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        let allowed = |lines: &mut Lines, now| (0..1000).filter(|_| lines.allow(now)).count();

        assert_eq!(allowed(&mut lines, now), MOST_LINES as usize);
        assert_eq!(allowed(&mut lines, now + PERIOD / 2), 0);
        assert_eq!(allowed(&mut lines, now + PERIOD), MOST_LINES as usize);
    }
}
