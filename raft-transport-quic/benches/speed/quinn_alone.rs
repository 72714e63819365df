//! Quinn by itself, set up as ours sets it up: one long stream for messages,
//! another for snapshots, on one connection.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::udp::{UdpSockRef, UdpSocketState};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig, TransportConfig,
};
use raft_core::async_trait;
use tokio::sync::Mutex;

use crate::snapshot::Source;
use crate::streams::{Streams, reader, serve};
use crate::tcp::{NAME, tls};
use crate::way::{Carrier, Lane, Path, Place, Way};

pub(crate) struct Quinn(pub(crate) Path);

/// As in `src/endpoint.rs`.
fn transport(largest_datagram: u16) -> Arc<TransportConfig> {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(largest_datagram);
    let mut congestion = CubicConfig::default();
    congestion.initial_window(64 * 1024);
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(Duration::from_millis(300)))
        .stream_receive_window((2_u32 << 20).into())
        .send_window(32 << 20)
        .datagram_receive_buffer_size(None)
        .initial_rtt(Duration::from_millis(100))
        .mtu_discovery_config(Some(discovery))
        .congestion_controller_factory(Arc::new(congestion));
    Arc::new(transport)
}

fn endpoint(largest_datagram: u16, server: Option<ServerConfig>) -> Endpoint {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let state = UdpSocketState::new(UdpSockRef::from(&socket)).expect("a socket");
    for set in [
        UdpSocketState::set_send_buffer_size,
        UdpSocketState::set_recv_buffer_size,
    ] {
        set(&state, UdpSockRef::from(&socket), 2 << 20).expect("a socket");
    }
    let mut parameters = EndpointConfig::default();
    parameters
        .max_udp_payload_size(largest_datagram)
        .expect("QUIC allows it");
    let runtime = quinn::default_runtime().expect("tokio runs");
    Endpoint::new(parameters, server, socket, runtime).expect("an endpoint")
}

fn answering(largest_datagram: u16, server: rustls::ServerConfig) -> SocketAddr {
    let crypto = QuicServerConfig::try_from(server).expect("TLS 1.3");
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    server.transport_config(transport(largest_datagram));
    let endpoint = endpoint(largest_datagram, Some(server));
    let address = endpoint.local_addr().expect("it listens");
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let connection = incoming.await.expect("a handshake");
            tokio::spawn(async move {
                while let Ok((writer, stream)) = connection.accept_bi().await {
                    let frames = reader(stream);
                    tokio::spawn(serve(Streams { writer, frames }));
                }
            });
        }
    });
    address
}

type Pair = Streams<quinn::SendStream, quinn::RecvStream>;

impl Way for Quinn {
    fn name(&self) -> &'static str {
        match self.0 {
            Path::Wide => "quinn 6500",
            Path::Ethernet => "quinn 1452",
        }
    }

    fn open(&self, place: &Place) -> Lane {
        let largest = self.0.largest_datagram();
        let (client, server) = tls();
        let serving = async move { answering(largest, server) };
        let address = place.answering.block_on(serving);
        let crypto = QuicClientConfig::try_from(client).expect("TLS 1.3");
        let mut client = ClientConfig::new(Arc::new(crypto));
        client.transport_config(transport(largest));
        place.asking.block_on(async move {
            let mut endpoint = endpoint(largest, None);
            endpoint.set_default_client_config(client);
            let connecting = endpoint.connect(address, NAME).expect("an address");
            let connection = connecting.await.expect("a handshake");
            let open = async || {
                let (writer, stream) = connection.open_bi().await.expect("a stream");
                let frames = reader(stream);
                Streams { writer, frames }
            };
            let asker = open().await;
            let snapshots = open().await;
            snapshots.writer.set_priority(-1).expect("a stream");
            Lane {
                asker: Some(Box::new(asker)),
                carrier: Arc::new(Snapshots {
                    streams: Mutex::new(snapshots),
                    endpoint,
                }),
            }
        })
    }
}

struct Snapshots {
    streams: Mutex<Pair>,
    endpoint: Endpoint,
}

#[async_trait]
impl Carrier for Snapshots {
    async fn carry(&self, source: Source) {
        self.streams.carry(source).await;
    }

    async fn close(&self) {
        self.endpoint.close(0_u32.into(), b"done");
        self.endpoint.wait_idle().await;
    }
}
