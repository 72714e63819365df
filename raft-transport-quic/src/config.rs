//! What a transport needs to know before it starts.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use raft_core::NodeId;

use crate::certificates::NodeCertificates;
use crate::error::BindError;
use crate::queue::QueueLimit;
use crate::wire::MAX_BODY;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// What QUIC asks of every path, and what segmentation offload can bear: ten
/// datagrams above 6550 bytes in one call would exceed the largest UDP message.
const LARGEST_DATAGRAM: RangeInclusive<u16> = 1200..=6500;

/// Everything a [`QuicNetwork`](crate::QuicNetwork) is started with.
/// [`QuicConfig::new`] fills in what seldom needs another value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QuicConfig {
    /// The cluster; letters, digits, `-`, `_` and `.`.
    pub cluster: String,
    /// This node.
    pub node: NodeId,
    /// Where to listen, and where to dial from. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// This node's certificate and key, and the authority it trusts.
    pub certificates: NodeCertificates,
    /// Largest frame, sent or accepted; a message that does not fit is dropped
    /// and counted. Default 16 MiB, the same on all nodes.
    pub max_frame: usize,
    /// What may wait for one peer among urgent messages. Default 4096, 4 MiB.
    pub control_queue: QueueLimit,
    /// What may wait for one peer among entries. Default 4096, 32 MiB.
    pub append_queue: QueueLimit,
    /// Largest UDP payload sent or accepted, 1200 to 6500 bytes. Datagrams grow up
    /// to it as far as each path carries them, so a large value costs nothing
    /// where the path is narrow, and halves the work where it is wide. 1452 is
    /// what Ethernet carries. Default 6500.
    pub largest_datagram: u16,
    /// A message that waited so long for a connection is dropped when there is
    /// one. Default 1 s.
    pub stale_after: Duration,
    /// A connection that was silent so long is given up, an eighth of it later at the
    /// latest. Default 1.5 s.
    pub idle_timeout: Duration,
    /// How often a silent connection is kept alive. Default 300 ms.
    pub keep_alive: Duration,
    /// Time for a handshake. Default 2 s.
    pub handshake_timeout: Duration,
    /// Pause after the first failed dial; doubles up to `backoff_max`. Default 20 ms.
    pub backoff_min: Duration,
    /// Longest pause between dials. Default 1 s.
    pub backoff_max: Duration,
    /// How long a snapshot whose stream broke is kept half-sent on one side and
    /// half-read on the other, for a connection on which it goes on. Default 30 s.
    pub snapshot_patience: Duration,
    /// Bytes a second for all snapshots together that this node sends; at least 1 MiB,
    /// so that a chunk takes no longer than a second. Default none.
    pub snapshot_rate: Option<u64>,
    /// What a snapshot takes of what the path, the processors and the disks of both ends
    /// carry, above 0 and up to 1: it is sent in bursts, and after each it rests, so that
    /// commits and heartbeats find their way between. With 1 a snapshot is as fast as it
    /// can be, and small commits take several times as long meanwhile where processors or
    /// disks are busy with it. Default 0.25.
    pub snapshot_share: f64,
}

impl QuicConfig {
    /// The configuration of `node` of `cluster`, with defaults for the rest.
    pub fn new(
        cluster: impl Into<String>,
        node: NodeId,
        listen: SocketAddr,
        certificates: NodeCertificates,
    ) -> Self {
        Self {
            cluster: cluster.into(),
            node,
            listen,
            certificates,
            max_frame: 16 * MIB,
            control_queue: QueueLimit {
                messages: 4096,
                bytes: 4 * MIB,
            },
            append_queue: QueueLimit {
                messages: 4096,
                bytes: 32 * MIB,
            },
            largest_datagram: *LARGEST_DATAGRAM.end(),
            stale_after: Duration::from_secs(1),
            idle_timeout: Duration::from_millis(1500),
            keep_alive: Duration::from_millis(300),
            handshake_timeout: Duration::from_secs(2),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(1),
            snapshot_patience: Duration::from_secs(30),
            snapshot_rate: None,
            snapshot_share: 0.25,
        }
    }

    /// Refuses values that cannot work.
    pub(crate) fn validate(&self) -> Result<(), BindError> {
        let invalid = |reason: String| Err(BindError::Config { reason });
        // A snapshot chunk of 1 MiB must fit, with its checksum.
        let smallest = MIB + 64;
        if !(smallest..=MAX_BODY).contains(&self.max_frame) {
            let given = self.max_frame;
            return invalid(format!(
                "max_frame is {given}, must be {smallest} to {MAX_BODY}"
            ));
        }
        if self.control_queue.messages == 0 || self.append_queue.messages == 0 {
            return invalid("a queue needs room for at least one message".into());
        }
        if !LARGEST_DATAGRAM.contains(&self.largest_datagram) {
            let (given, possible) = (self.largest_datagram, LARGEST_DATAGRAM);
            let (least, most) = (possible.start(), possible.end());
            return invalid(format!(
                "largest_datagram is {given}, must be {least} to {most}"
            ));
        }
        if self.keep_alive.is_zero() || self.keep_alive * 2 > self.idle_timeout {
            return invalid(format!(
                "keep_alive is {:?}, must be above zero and at most half of idle_timeout {:?}",
                self.keep_alive, self.idle_timeout
            ));
        }
        if self.snapshot_patience.is_zero() {
            return invalid("snapshot_patience must be above zero".into());
        }
        if let Some(rate) = self.snapshot_rate
            && rate < MIB as u64
        {
            return invalid(format!(
                "snapshot_rate is {rate} bytes a second, must be at least {MIB}"
            ));
        }
        if !(self.snapshot_share > 0.0 && self.snapshot_share <= 1.0) {
            return invalid(format!(
                "snapshot_share is {}, must be above 0 and at most 1",
                self.snapshot_share
            ));
        }
        if self.backoff_min.is_zero() || self.backoff_min > self.backoff_max {
            return invalid(format!(
                "backoff_min is {:?}, must be above zero and at most backoff_max {:?}",
                self.backoff_min, self.backoff_max
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::DevAuthority;

    fn config() -> QuicConfig {
        let node = NodeId::new(1);
        let pem = DevAuthority::new("test").unwrap().node(node).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        QuicConfig::new("test", node, listen, pem.certificates().unwrap())
    }

    #[test]
    fn a_share_that_is_none_or_more_than_all_is_refused() {
        let mut config = config();
        for (share, fits) in [
            (0.01, true),
            (1.0, true),
            (0.0, false),
            (1.1, false),
            (-0.5, false),
            (f64::NAN, false),
        ] {
            config.snapshot_share = share;
            assert_eq!(config.validate().is_ok(), fits, "{share}");
        }
    }

    #[test]
    fn a_datagram_that_paths_or_sockets_cannot_bear_is_refused() {
        let mut config = config();

        for (size, fits) in [(1199, false), (1200, true), (6500, true), (6501, false)] {
            config.largest_datagram = size;
            assert_eq!(config.validate().is_ok(), fits, "{size}");
        }

        let reason = config.validate().unwrap_err().to_string();
        assert!(reason.contains("largest_datagram is 6501"), "{reason}");
    }
}
