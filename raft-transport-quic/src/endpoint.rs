//! The one QUIC endpoint of a node: the same socket accepts and dials.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::udp::{UdpSockRef, UdpSocketState};
use quinn::{
    AsyncUdpSocket, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, Runtime,
    ServerConfig, TransportConfig, VarInt,
};

use crate::config::QuicConfig;
use crate::credentials::Credentials;
use crate::error::BindError;
#[cfg(unix)]
use crate::socket::Socket;

/// One stream's share of memory on the receiving side.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
/// Room for all streams' windows at once: the window of the whole connection
/// is shared, so it must never be what an urgent message waits for.
const SEND_WINDOW: u64 = 32 * 1024 * 1024;
/// Two classes, and the old streams of both while they end.
const MAX_MESSAGE_STREAMS: u32 = 4;
/// Snapshots under way at once between two nodes.
const MAX_SNAPSHOT_STREAMS: u32 = 4;
/// Several of the largest datagrams; close to one of them, sending would stall.
const INITIAL_CONGESTION_WINDOW: u64 = 64 * 1024;
/// Nodes of a cluster are near each other; the default of a third of a second
/// would let the first lost packet of a handshake cost a whole second.
const INITIAL_ROUND_TRIP: Duration = Duration::from_millis(100);
const SOCKET_BUFFER: usize = 2 * 1024 * 1024;
const MAX_PENDING_HANDSHAKES: usize = 256;

/// Opens a socket of the system, and the endpoint on it.
pub(crate) fn open(config: &QuicConfig, credentials: &Credentials) -> Result<Endpoint, BindError> {
    let runtime = quinn::default_runtime().ok_or(BindError::NoRuntime)?;
    let socket = socket(config.listen)
        .and_then(|socket| take_over(socket, &*runtime))
        .map_err(|source| cannot_listen(config, source))?;
    open_on(config, credentials, socket)
}

#[cfg(unix)]
fn take_over(socket: UdpSocket, _: &dyn Runtime) -> std::io::Result<Arc<dyn AsyncUdpSocket>> {
    Ok(Socket::new(socket)?)
}

#[cfg(not(unix))]
fn take_over(socket: UdpSocket, runtime: &dyn Runtime) -> std::io::Result<Arc<dyn AsyncUdpSocket>> {
    runtime.wrap_udp_socket(socket)
}

/// The endpoint on a socket. Each connection is accepted and dialled with the
/// credentials of its time; those given here are for what precedes that.
pub(crate) fn open_on(
    config: &QuicConfig,
    credentials: &Credentials,
    socket: Arc<dyn AsyncUdpSocket>,
) -> Result<Endpoint, BindError> {
    let mut server = ServerConfig::clone(&credentials.accepting);
    server.max_incoming(MAX_PENDING_HANDSHAKES);

    let runtime = quinn::default_runtime().ok_or(BindError::NoRuntime)?;
    let mut parameters = EndpointConfig::default();
    parameters
        .max_udp_payload_size(config.largest_datagram)
        .expect("validated: at least the 1200 bytes that QUIC asks for");
    Endpoint::new_with_abstract_socket(parameters, Some(server), socket, runtime)
        .map_err(|source| cannot_listen(config, source))
}

const fn cannot_listen(config: &QuicConfig, source: std::io::Error) -> BindError {
    BindError::Listen {
        address: config.listen,
        source,
    }
}

/// How connections behave, whoever dialled.
pub(crate) fn transport(config: &QuicConfig) -> Result<TransportConfig, BindError> {
    // Later than our own look at it, which comes to an end that the peer hears of; QUIC's
    // does not.
    let idle = config.idle_timeout.saturating_mul(2);
    let idle = IdleTimeout::try_from(idle).map_err(|_| BindError::Config {
        reason: format!(
            "idle_timeout is {:?}, too long for QUIC",
            config.idle_timeout
        ),
    })?;
    let mut discovery = MtuDiscoveryConfig::default();
    // Starts from 1200, so nothing is lost where the path carries no more.
    discovery.upper_bound(config.largest_datagram);
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
