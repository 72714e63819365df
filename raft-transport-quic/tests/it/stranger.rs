//! The other end of a connection, driven by hand: shows any certificate, says
//! any bytes, and trusts everybody.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, ServerConfig};
use raft_transport_quic::NodePem;
use raft_transport_quic::frame::{FrameBuilder, FrameKind};
use raft_transport_quic::hello::{Hello, Versions};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

const PROTOCOL: &[u8] = b"raft-quic/1";
const PATIENCE: Duration = Duration::from_secs(30);

/// An endpoint that is no [`QuicNetwork`](raft_transport_quic::QuicNetwork).
pub(crate) struct Stranger {
    pub(crate) endpoint: Endpoint,
    dialling: ClientConfig,
}

impl Stranger {
    /// Shows the certificate of `pem`; none at all when it dials without one.
    pub(crate) fn new(pem: Option<&NodePem>) -> Self {
        let mut client = client(pem);
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        Self::with(client, pem)
    }

    /// With a TLS configuration of its own for dialling.
    pub(crate) fn with(client: rustls::ClientConfig, pem: Option<&NodePem>) -> Self {
        let local = "127.0.0.1:0".parse().unwrap();
        let endpoint = match pem {
            Some(pem) => Endpoint::server(server(pem), local).unwrap(),
            None => Endpoint::client(local).unwrap(),
        };
        let dialling = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client).unwrap()));
        Self { endpoint, dialling }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    pub(crate) fn connecting(&self, to: SocketAddr) -> quinn::Connecting {
        let dialling = self.dialling.clone();
        self.endpoint.connect_with(dialling, to, "raft").unwrap()
    }

    /// Dials, and says hello in these versions.
    pub(crate) async fn greet(&self, to: SocketAddr, versions: Versions) -> Greeted {
        Self::say_hello(self.connecting(to).await.unwrap(), versions).await
    }

    /// Says hello on a connection that is up.
    pub(crate) async fn say_hello(connection: Connection, versions: Versions) -> Greeted {
        let hello = Hello {
            boot: 7,
            renewals: 0,
            versions,
        };
        Self::say(connection, hello).await
    }

    /// Says this hello.
    pub(crate) async fn say(connection: Connection, hello: Hello) -> Greeted {
        let mut control = connection.open_uni().await.unwrap();
        let mut frame = FrameBuilder::new(FrameKind::Hello, 64);
        hello.encode(frame.body());
        control
            .write_chunk(frame.finish(64).unwrap())
            .await
            .unwrap();
        Greeted {
            connection,
            control,
        }
    }

    /// How a connection to `to` ends, in words.
    pub(crate) async fn farewell_of(&self, to: SocketAddr) -> String {
        match self.connecting(to).await {
            Ok(connection) => farewell(&connection).await,
            Err(error) => text(&error),
        }
    }

    /// How the next connection to here ends, in words.
    pub(crate) async fn farewell_of_dialler(&self) -> String {
        let incoming = self.endpoint.accept().await.unwrap();
        match incoming.await {
            Ok(connection) => farewell(&connection).await,
            Err(error) => text(&error),
        }
    }
}

/// A connection on which hello was said.
pub(crate) struct Greeted {
    pub(crate) connection: Connection,
    pub(crate) control: quinn::SendStream,
}

/// How a connection ended, in words.
pub(crate) async fn farewell(connection: &Connection) -> String {
    let closed = tokio::time::timeout(PATIENCE, connection.closed());
    text(&closed.await.expect("the connection never ended"))
}

fn text(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            String::from_utf8_lossy(&close.reason).into_owned()
        }
        ConnectionError::ConnectionClosed(close) => {
            String::from_utf8_lossy(&close.reason).into_owned()
        }
        other => other.to_string(),
    }
}

/// A TLS configuration that shows `pem`'s certificate, or none.
pub(crate) fn client(pem: Option<&NodePem>) -> rustls::ClientConfig {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Everybody));
    match pem {
        Some(pem) => builder.with_client_auth_cert(chain(pem), key(pem)).unwrap(),
        None => builder.with_no_client_auth(),
    }
}

fn server(pem: &NodePem) -> ServerConfig {
    let mut server = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Everybody))
        .with_single_cert(chain(pem), key(pem))
        .unwrap();
    server.alpn_protocols = vec![PROTOCOL.to_vec()];
    ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server).unwrap()))
}

fn chain(pem: &NodePem) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.certificate.as_bytes())
        .map(|found| found.unwrap())
        .collect()
}

fn key(pem: &NodePem) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pem.key.as_bytes()).unwrap()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Trusts whoever shows anything.
#[derive(Debug)]
struct Everybody;

impl ServerCertVerifier for Everybody {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl ClientCertVerifier for Everybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
