//! Which connections were refused and why, logged once per change.
//!
//! A peer with a wrong certificate tries for ever. Its first refusal is worth
//! a warning and the thousandth is not. A stranger can have another certificate
//! at each try, and a peer another reason; so many lines are written for all
//! strangers, and for each peer, and no more, until some time has passed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quinn::{ConnectionError, TransportErrorCode};
use raft_core::NodeId;

use crate::error::{CloseCode, Direction, Refusal};
use crate::shown::clip;
use crate::telemetry::{FailureReason, count_handshake_failure};
use crate::trust::plain_reason;

/// Strangers can add to the table, so it is bounded.
const MOST_REMEMBERED: usize = 64;
/// The other side can say anything at any length; a log line shall not.
const LONGEST_REASON: usize = 500;
/// Lines about one peer, or about all strangers, in one [`PERIOD`].
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
    /// For all strangers under nobody's name.
    lines: BTreeMap<Option<NodeId>, Lines>,
}

/// The lines about a peer, or about strangers, in the present period.
#[derive(Debug, Default)]
struct Lines {
    since: Option<Instant>,
    written: u32,
    kept_back: u64,
}

impl Lines {
    fn is_over(&self, now: Instant) -> bool {
        self.since.is_none_or(|since| now - since >= PERIOD)
    }

    /// Whether one more may be written.
    fn allow(&mut self, peer: Option<NodeId>, now: Instant) -> bool {
        if self.is_over(now) {
            if self.kept_back > 0 {
                let refusals = self.kept_back;
                let peer = peer.map(tracing::field::display);
                tracing::warn!(peer, refusals, "refused without a line each");
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

impl State {
    /// Whether a line about this peer, or about a stranger, may be written.
    fn may_warn(&mut self, peer: Option<NodeId>, now: Instant) -> bool {
        let mut key = peer;
        if !self.lines.contains_key(&key) && self.lines.len() >= MOST_REMEMBERED {
            self.lines.retain(|_, lines| !lines.is_over(now));
            // Of more peers at once, those that come last share the strangers' lines.
            key = key.filter(|_| self.lines.len() < MOST_REMEMBERED);
        }
        self.lines.entry(key).or_default().allow(key, now)
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
            if state.may_warn(refusal.peer, Instant::now()) {
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

/// How a connection ended, fit for a log: the other side may have had the word.
pub(crate) fn printable_end(error: &ConnectionError) -> String {
    printable(error.to_string().as_bytes())
}

/// The other side's words, fit for a log.
fn printable(reason: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(reason)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    clip(&text, LONGEST_REASON)
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

    fn allowed(state: &mut State, peer: Option<NodeId>, now: Instant) -> usize {
        (0..1000).filter(|_| state.may_warn(peer, now)).count()
    }

    #[test]
    fn strangers_and_each_peer_have_so_many_lines_in_a_period_and_again_in_the_next() {
        let (mut state, now) = (State::default(), Instant::now());
        let most = MOST_LINES as usize;

        for peer in [None, Some(NodeId::new(2)), Some(NodeId::new(3))] {
            assert_eq!(allowed(&mut state, peer, now), most, "{peer:?}");
            assert_eq!(allowed(&mut state, peer, now + PERIOD / 2), 0, "{peer:?}");
        }
        assert_eq!(allowed(&mut state, None, now + PERIOD), most);
    }

    #[test]
    fn however_many_peers_are_refused_their_lines_take_bounded_room() {
        let (mut state, now) = (State::default(), Instant::now());
        let refuse = |state: &mut State, now| {
            let peers = (1..=1000).map(|id| Some(NodeId::new(id)));
            peers.filter(|&peer| state.may_warn(peer, now)).count()
        };

        assert!(refuse(&mut state, now) <= MOST_REMEMBERED + MOST_LINES as usize);
        assert!(refuse(&mut state, now + PERIOD) > MOST_REMEMBERED);

        assert!(state.lines.len() <= MOST_REMEMBERED + 1);
    }

    #[test]
    fn what_the_other_side_says_is_cut_and_has_no_control_characters() {
        let said = || vec![b'\n'; 5000].into();
        let closed = ConnectionError::ConnectionClosed(quinn::ConnectionClose {
            error_code: TransportErrorCode::crypto(42),
            frame_type: None,
            reason: said(),
        });
        let application = ConnectionError::ApplicationClosed(quinn::ApplicationClose {
            error_code: CloseCode::UnknownNode.code(),
            reason: said(),
        });

        for error in [closed, application] {
            let reason = refusal_reason(&error).expect("it is a refusal");
            for text in [reason, printable_end(&error)] {
                let len = text.chars().count();
                assert!(
                    (LONGEST_REASON..LONGEST_REASON + 50).contains(&len),
                    "{len}"
                );
                assert!(!text.contains('\n'), "{text:?}");
            }
        }
    }
}
