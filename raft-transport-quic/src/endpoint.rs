//! The one QUIC endpoint of a node: the same socket accepts and dials.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::udp::{UdpSockRef, UdpSocketState};
use quinn::{
    Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TransportConfig,
    VarInt,
};

use crate::config::QuicConfig;
use crate::credentials::Credentials;
use crate::error::BindError;

/// One stream's share of memory on the receiving side.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
/// Room for all streams' windows at once: the window of the whole connection
/// is shared, so it must never be what an urgent message waits for.
const SEND_WINDOW: u64 = 32 * 1024 * 1024;
/// Two classes, and the old streams of both while they end.
const MAX_MESSAGE_STREAMS: u32 = 4;
/// Snapshots under way at once between two nodes.
const MAX_SNAPSHOT_STREAMS: u32 = 4;
/// Datagrams grow up to here where the path carries them; discovery starts
/// from 1200, so nothing is lost where it does not. Above 6550 bytes,
/// segmentation offload would exceed the largest UDP message.
const LARGEST_DATAGRAM: u16 = 6500;
/// Several of the largest datagrams; close to one of them, sending would stall.
const INITIAL_CONGESTION_WINDOW: u64 = 64 * 1024;
/// Nodes of a cluster are near each other; the default of a third of a second
/// would let the first lost packet of a handshake cost a whole second.
const INITIAL_ROUND_TRIP: Duration = Duration::from_millis(100);
const SOCKET_BUFFER: usize = 2 * 1024 * 1024;
const MAX_PENDING_HANDSHAKES: usize = 256;

/// Opens the socket. Each connection is accepted and dialled with the
/// credentials of its time; those given here are for what precedes that.
pub(crate) fn open(config: &QuicConfig, credentials: &Credentials) -> Result<Endpoint, BindError> {
    let mut server = ServerConfig::clone(&credentials.accepting);
    server.max_incoming(MAX_PENDING_HANDSHAKES);

    let runtime = quinn::default_runtime().ok_or(BindError::NoRuntime)?;
    let listen = |source| BindError::Listen {
        address: config.listen,
        source,
    };
    let socket = socket(config.listen).map_err(listen)?;
    let mut parameters = EndpointConfig::default();
    parameters
        .max_udp_payload_size(LARGEST_DATAGRAM)
        .expect("a datagram of 6500 bytes is within what QUIC allows");
    Endpoint::new(parameters, Some(server), socket, runtime).map_err(listen)
}

/// How connections behave, whoever dialled.
pub(crate) fn transport(config: &QuicConfig) -> Result<TransportConfig, BindError> {
    let idle = IdleTimeout::try_from(config.idle_timeout).map_err(|_| BindError::Config {
        reason: format!(
            "idle_timeout is {:?}, too long for QUIC",
            config.idle_timeout
        ),
    })?;
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(LARGEST_DATAGRAM);
    let mut congestion = CubicConfig::default();
    congestion.initial_window(INITIAL_CONGESTION_WINDOW);

    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(config.keep_alive))
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_MESSAGE_STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_SNAPSHOT_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .initial_rtt(INITIAL_ROUND_TRIP)
        .mtu_discovery_config(Some(discovery))
        .congestion_controller_factory(Arc::new(congestion));
    Ok(transport)
}

/// A socket with buffers that hold a burst, as far as the system grants them.
fn socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
    for result in [
        state.set_send_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER),
        state.set_recv_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER),
    ] {
        if let Err(error) = result {
            tracing::debug!(%error, "the socket keeps its default buffer");
        }
    }
    Ok(socket)
}
