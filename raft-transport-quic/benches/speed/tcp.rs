//! TCP, as it is and with TLS: a connection for messages, another for snapshots.

use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::streams::{Plain, Streams, reader, serve};
use crate::way::{Lane, Place, Way};

/// Whom the certificates of this benchmark are for.
pub(crate) const NAME: &str = "benchmark";

pub(crate) struct Tcp {
    has_tls: bool,
}

impl Tcp {
    pub(crate) const fn plain() -> Self {
        Self { has_tls: false }
    }

    pub(crate) const fn with_tls() -> Self {
        Self { has_tls: true }
    }
}

/// Both sides of TLS 1.3 with the cryptography that ours uses. Clients show no
/// certificate: handshakes are not measured.
pub(crate) fn tls() -> (ClientConfig, ServerConfig) {
    let made = rcgen::generate_simple_self_signed([NAME.into()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certificate = made.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("it can be trusted");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = [&rustls::version::TLS13];
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .expect("TLS 1.3 is there")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .expect("TLS 1.3 is there")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::from(key))
        .expect("the key is the certificate's");
    (client, server)
}

impl Way for Tcp {
    fn name(&self) -> &'static str {
        match self.has_tls {
            false => "TCP",
            true => "TCP + TLS",
        }
    }

    fn open(&self, place: &Place) -> Lane {
        let (client, server) = tls();
        let tls = self.has_tls.then(|| {
            let connector = TlsConnector::from(Arc::new(client));
            (connector, TlsAcceptor::from(Arc::new(server)))
        });
        let (connector, acceptor) = tls.unzip();
        let listening = TcpListener::bind("127.0.0.1:0");
        let listener = place.answering.block_on(listening).expect("a free port");
        let address = listener.local_addr().expect("it listens");
        place.answering.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a socket");
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match acceptor {
                        Some(tls) => serve(halves(tls.accept(stream).await.expect("TLS"))).await,
                        None => serve(halves(stream)).await,
                    }
                });
            }
        });
        let connect = async move || {
            let stream = TcpStream::connect(address).await.expect("it listens");
            stream.set_nodelay(true).expect("a socket");
            let name = ServerName::try_from(NAME).expect("a name");
            let boxed: Box<dyn Stream> = match connector.clone() {
                Some(tls) => Box::new(tls.connect(name, stream).await.expect("TLS")),
                None => Box::new(stream),
            };
            halves(boxed)
        };
        place.asking.block_on(async move {
            Lane {
                asker: Some(Box::new(connect().await)),
                carrier: Arc::new(Mutex::new(connect().await)),
            }
        })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

fn halves<S: Stream>(stream: S) -> Streams<Plain<WriteHalf<S>>, ReadHalf<S>> {
    let (read, write) = tokio::io::split(stream);
    Streams {
        writer: Plain(write),
        frames: reader(read),
    }
}
