//! Raft's messages over QUIC, between nodes that prove who they are.
//!
//! [`QuicNetwork`] implements [`raft_core::Network`]. One UDP socket per node
//! accepts and dials; each pair of nodes shares one connection.
//!
//! # Streams
//!
//! | stream | carries | how many | priority |
//! |---|---|---|---|
//! | control | hello, votes, heartbeats, acknowledgements, reads, commit | one each way | high |
//! | append | entries, forwarded proposals | one each way | middle |
//! | snapshot | one snapshot, acknowledgements and the reply | one per snapshot at a time | low |
//!
//! A stream loses and delays nothing of another stream, so a heartbeat never
//! waits behind a megabyte of entries. In front of each stream stands a
//! bounded queue; [`Network::send`](raft_core::Network::send) puts messages
//! there and returns. A full queue drops its oldest: Raft sends again.
//!
//! # Identity and trust
//!
//! A node shows a certificate with the URI name `raft://<cluster>/<node>`. It
//! is accepted when an authority in `ca.pem` signed it for both roles, it is
//! valid now, no list of revoked certificates names it, the cluster is ours, and
//! the node is the one we dialled, or a peer if it dialled us. Host names and
//! addresses prove nothing and are not compared. A message in the name of
//! another node than the certificate's is dropped. Sessions are not resumed and
//! nothing is sent before the handshake is complete (no 0-RTT).
//!
//! Whoever is refused learns why: both sides log a warning that names the
//! certificate (URI, serial number) and the reason, once per change of it, and
//! [`QuicNetwork::refusals`] lists them.
//!
//! ## While nodes run
//!
//! [`QuicNetwork::reload`] replaces the certificate, the authorities and the
//! list of revoked certificates without a restart. Peers that would be refused
//! then are disconnected at once. A new certificate of a node brings new
//! connections, made before the old ones end: those are read for half a second
//! more, and what is not across by then is lost, as in any break. An authority
//! is replaced in three rounds over all nodes:
//!
//! 1. `ca.pem` with both authorities, one after the other;
//! 2. each node's new certificate;
//! 3. `ca.pem` with the new authority only.
//!
//! A certificate that expires ends its connections within 5 s and a signature
//! check; until then it is as good as any. The list of revoked certificates is
//! as [`NodeCertificates::with_revoked_file`] says.
//!
//! ## Versions
//!
//! The hello of each side carries the versions of the message format that it
//! speaks; the highest common one is used. Two nodes without one refuse each
//! other and say what both speak. This version speaks 1.
//!
//! # Hostile peers
//!
//! Before its certificate is checked, a stranger holds one of at most 1024
//! places, 64 for each address (of IPv6: for each /64), for at most
//! [`handshake_timeout`](QuicConfig::handshake_timeout); from 256 places on it
//! must prove its address first. A peer has four streams of messages and four of
//! snapshots; a length is checked against
//! [`max_frame`](QuicConfig::max_frame) before room is made for the body, and what a
//! body may become in memory is bounded ([`wire::MAX_BODY`]).
//! Whatever is not our protocol ends the connection it came on, and no other.
//!
//! # Failure
//!
//! A peer that falls silent is noticed after
//! [`idle_timeout`](QuicConfig::idle_timeout) and an eighth more, whatever the path
//! is like; both sides then dial with a
//! jittered pause that doubles up to [`backoff_max`](QuicConfig::backoff_max).
//! A restarted peer dials by itself and is connected at once. One that stops says so.
//!
//! A peer that dialled us and whose address changes on the way, behind an address
//! translator or with its machine, keeps its connection: that it is the same one, its
//! keys show. If we dialled, the silence is noticed, and it dials us.
//!
//! Messages of a class arrive in the order in which they were sent, each once. Only
//! when both sides dial at once, two connections overlap for a moment and so do their
//! messages; and what is under way when a connection dies is lost.
//!
//! # Snapshots
//!
//! A snapshot goes on where its receiver stands, over as many connections as
//! it takes: the sender keeps the chunks that are not acknowledged, at most
//! 4 MiB and one chunk for each snapshot, and the receiver's state machine goes
//! on waiting for the next one. Nothing is asked of
//! [`SnapshotReader`](raft_core::SnapshotReader)s for that.
//!
//! A snapshot takes a quarter of what the path and both nodes carry, or another
//! [share](QuicConfig::snapshot_share): after each burst it rests in proportion to the
//! time that the receiver took for it, so that commits find path, processors and disks
//! free. All of a node's snapshots share a rate besides, if one is
//! [set](QuicConfig::snapshot_rate).
//!
//! Both sides wait for
//! [`snapshot_patience`](QuicConfig::snapshot_patience) after a break without
//! a chunk that got across; then the sender reports failure and the
//! receiver's reader an error. A receiver holds one half-read snapshot per group.
//! It lets go of it when
//!
//! - a leader of a later term, or the same sender, begins another one;
//! - the sender gives up, because the leader was deposed or the receiver caught up;
//! - the node stops.
//!
//! Only the replica that began a transfer goes on with it, in the same term,
//! from the same start, and with the same snapshot. A node that was restarted
//! has forgotten what it had read: the leader begins anew.
//!
//! # Speed
//!
//! What is queued for a class goes out in frames of up to 64 KiB. A command
//! of 16 KiB or more is not copied on its way: it goes out from where it lies, and
//! is handed over as a slice of its frame, which it keeps in memory. A smaller one
//! is copied once on each side.
//!
//! Datagrams grow to what the path carries, 6500 bytes at most
//! ([`largest_datagram`](QuicConfig::largest_datagram)). There a snapshot takes half the
//! processor time of 1452 bytes, so jumbo frames between nodes are worth having. Where
//! they are not to be had, up to four of quinn's batches of ten leave in one call of the
//! system, where it offers segmentation. The socket asks for buffers of 2 MiB, which Linux grants as far as `net.core.rmem_max` and
//! `net.core.wmem_max` allow; with less, bursts are lost and sent again. State
//! machines should hand out snapshots in chunks of about 64 KiB: they stay in a
//! processor's cache from the checksum to the packets.
//!
//! The book's chapter on the transport's speed has the figures.
//!
//! # Metrics
//!
//! | name | labels |
//! |---|---|
//! | `raft_transport_connections` | |
//! | `raft_transport_dials_total` | |
//! | `raft_transport_handshake_failures_total` | `direction`, `reason` |
//! | `raft_transport_certificate_expiry_seconds`, `raft_transport_revoked_certificates` | |
//! | `raft_transport_refusals_total` | |
//! | `raft_transport_frames_total`, `raft_transport_bytes_total` | `direction`, `class`, `peer` |
//! | `raft_transport_peer_connections`, `raft_transport_rtt_seconds` | `peer` |
//! | `raft_transport_packets_sent_total`, `raft_transport_packets_lost_total` | `peer` |
//! | `raft_transport_dropped_total` | `class`, `reason` |
//! | `raft_transport_snapshot_breaks_total` | |
//!
//! A label `peer` is the number of a node whose certificate was good; strangers add
//! none. Install a recorder before [`QuicNetwork::bind`].
//!
//! # Example
//!
//! ```
//! use raft_core::NodeId;
//! use raft_transport_quic::{DevAuthority, QuicConfig, QuicNetwork};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let authority = DevAuthority::new("orders")?;
//! let node = NodeId::new(1);
//! let certificates = authority.node(node)?.certificates()?;
//! let listen = "127.0.0.1:0".parse()?;
//!
//! let network = QuicNetwork::bind(QuicConfig::new("orders", node, listen, certificates))?;
//! println!("listening on {}", network.local_addr());
//! network.shutdown().await;
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs)]

mod authority;
mod backoff;
#[cfg(unix)]
mod bundle;
pub mod certificates;
pub mod config;
mod credentials;
mod endpoint;
pub mod error;
pub mod frame;
mod half_open;
pub mod hello;
pub mod identity;
mod in_place;
mod link;
pub mod network;
mod opening;
mod outlet;
mod parts;
mod peer;
mod queue;
mod refusals;
mod revocation;
mod revoke;
mod server;
mod shared;
mod shown;
mod silence;
mod snapshot;
#[cfg(unix)]
mod socket;
mod telemetry;
mod tls;
mod traffic;
mod trust;
mod vigil;
pub mod wire;

pub use certificates::{DevAuthority, NodeCertificates, NodePem};
pub use config::QuicConfig;
pub use error::{BindError, CertificateError, Direction, IdentityError, Refusal};
pub use identity::Identity;
pub use network::{PeerStatus, QuicNetwork};
pub use queue::QueueLimit;
