//! Names and labels of what this crate counts about handshakes. No label comes
//! from a stranger.

use crate::error::Direction;

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
