//! What goes wrong at start, and why a connection is refused.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use quinn::VarInt;
use raft_core::NodeId;

use crate::identity::Identity;

/// Why a transport does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// A value that cannot work.
    #[error("invalid transport configuration: {reason}")]
    Config {
        /// The value and what it must be.
        reason: String,
    },
    /// The own certificate cannot be used.
    #[error("this node's certificate cannot be used")]
    Certificate(#[from] CertificateError),
    /// The address cannot be listened on.
    #[error("cannot listen on udp {address}; is another process using the port?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Called outside a tokio runtime.
    #[error("no tokio runtime is running; call from within one")]
    NoRuntime,
}

/// What is wrong with certificates or keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {path}: put the {what} there, in PEM, readable for this process")]
    Read {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// There is no usable PEM block in it.
    #[error("{origin} holds no usable {what}: {reason}; it must be PEM")]
    Pem {
        /// The file, or which of the strings.
        origin: String,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate does not name a node.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The own certificate belongs to somebody else.
    #[error(
        "the certificate names {found}, but this node is {expected}; \
         give this node its own certificate or correct its node id and cluster"
    )]
    WrongIdentity {
        /// Whom it names.
        found: Identity,
        /// Who we are.
        expected: Identity,
    },
    /// The own certificate would be refused by all peers.
    #[error("peers would refuse the certificate of {identity}: {reason}; have it issued anew")]
    Untrusted {
        /// Whom it names.
        identity: Identity,
        /// Why.
        reason: String,
    },
    /// The key is not the certificate's, or of a kind we cannot use.
    #[error("the private key cannot be used with the certificate: {reason}")]
    Key {
        /// What is wrong.
        reason: String,
    },
    /// A list of revoked certificates cannot be relied on.
    #[error("the list of revoked certificates in {origin} cannot be used: {reason}")]
    Revocations {
        /// The file, or which of the strings.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// Making a certificate failed.
    #[error("cannot make a certificate: {reason}")]
    Make {
        /// What is wrong.
        reason: String,
    },
}

/// Why a certificate or a URI names no node.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The cluster's name cannot stand in a certificate.
    #[error("cluster name {cluster:?} must be 1 to 64 letters, digits, '-', '_' or '.'")]
    ClusterName {
        /// The name.
        cluster: String,
    },
    /// Not `raft://<cluster>/<node>`.
    #[error("{uri:?} is not of the form raft://<cluster>/<node>")]
    Form {
        /// The URI.
        uri: String,
    },
    /// Not exactly one such URI.
    #[error("the certificate has {found} raft:// names, expected exactly one")]
    Count {
        /// How many it has.
        found: usize,
    },
    /// No X.509 certificate.
    #[error("the certificate cannot be parsed: {reason}")]
    Unparsable {
        /// What is wrong.
        reason: String,
    },
}

/// Which side of a connection we were.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Direction {
    /// The peer dialled us.
    Incoming,
    /// We dialled the peer.
    Outgoing,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
        })
    }
}

/// A connection that one of the two sides refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Who dialled.
    pub direction: Direction,
    /// The other side, when it was dialled or its certificate named it.
    pub peer: Option<NodeId>,
    /// Address of the other side.
    pub address: SocketAddr,
    /// Which side refused, and why, with what was found and what was expected.
    pub reason: String,
}

/// What a connection is closed with; the reason goes beside it in words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub(crate) enum CloseCode {
    /// The node stops.
    Shutdown = 0,
    /// Another connection of the same pair stays.
    Replaced = 1,
    /// The certificate does not name the node that was dialled.
    WrongNode = 2,
    /// The certificate names a node that is not a peer.
    UnknownNode = 3,
    /// What was sent is not our protocol.
    Protocol = 4,
    /// No longer, or not at this address, a peer.
    Moved = 5,
    /// The certificate was good once: it expired or was revoked, or its
    /// authority is not trusted any more.
    Untrusted = 6,
    /// No version that both sides speak.
    Version = 7,
}

impl CloseCode {
    /// As QUIC carries it.
    pub(crate) const fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    /// Whether `code` says that the other side does not accept who we are.
    pub(crate) fn is_refusal(code: VarInt) -> bool {
        [
            Self::WrongNode,
            Self::UnknownNode,
            Self::Protocol,
            Self::Untrusted,
            Self::Version,
        ]
        .iter()
        .any(|refusal| refusal.code() == code)
    }
}
