//! Names and labels of what this crate measures of handshakes and connections.
//! No label comes from a stranger.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::error::Direction;
use crate::link::Link;

/// How often a connection is looked at.
const SAMPLE: Duration = Duration::from_secs(1);

/// Why a connection did not come up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FailureReason {
    Expired,
    NotYetValid,
    Revoked,
    UnknownAuthority,
    WrongCluster,
    WrongNode,
    NotAPeer,
    /// The certificate names no node.
    BadName,
    /// It cannot be used for another reason.
    BadCertificate,
    NoCertificate,
    /// No version that both sides speak.
    Version,
    /// What was sent is not our protocol.
    Protocol,
    /// The other side refused us; its log tells why.
    RefusedByPeer,
    Timeout,
    /// Anything else, as a connection that broke.
    Other,
}

impl FailureReason {
    const fn label(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::UnknownAuthority => "unknown_authority",
            Self::WrongCluster => "wrong_cluster",
            Self::WrongNode => "wrong_node",
            Self::NotAPeer => "not_a_peer",
            Self::BadName => "bad_name",
            Self::BadCertificate => "bad_certificate",
            Self::NoCertificate => "no_certificate",
            Self::Version => "version",
            Self::Protocol => "protocol",
            Self::RefusedByPeer => "refused_by_peer",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }
}

/// One connection that did not come up.
pub(crate) fn count_handshake_failure(direction: Direction, reason: FailureReason) {
    let direction = match direction {
        Direction::Incoming => "incoming",
        Direction::Outgoing => "outgoing",
    };
    let labels = [("direction", direction), ("reason", reason.label())];
    metrics::counter!("raft_transport_handshake_failures_total", &labels).increment(1);
}

/// Measures a connection for as long as it lasts.
pub(crate) async fn sample(link: Arc<Link>) {
    let labels = [("peer", link.peer.id.get().to_string())];
    let _open = Open::new(metrics::gauge!("raft_transport_peer_connections", &labels));
    let rtt = metrics::gauge!("raft_transport_rtt_seconds", &labels);
    let sent = metrics::counter!("raft_transport_packets_sent_total", &labels);
    let lost = metrics::counter!("raft_transport_packets_lost_total", &labels);
    let (mut sent_before, mut lost_before) = (0, 0);
    let mut tick = tokio::time::interval(SAMPLE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let path = link.connection.stats().path;
        rtt.set(path.rtt.as_secs_f64());
        sent.increment(path.sent_packets.saturating_sub(sent_before));
        lost.increment(path.lost_packets.saturating_sub(lost_before));
        (sent_before, lost_before) = (path.sent_packets, path.lost_packets);
    }
}

/// A connection that is open, in a gauge until it is dropped, as it is when the node stops.
pub(crate) struct Open(metrics::Gauge);

impl Open {
    /// One of all connections.
    pub(crate) fn of_all() -> Self {
        Self::new(metrics::gauge!("raft_transport_connections"))
    }

    fn new(gauge: metrics::Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
