//! Mutual TLS 1.3, in which a certificate is good when our authority signed it
//! and it names a node of our cluster. Which node is checked after the
//! handshake, where it is known whom we dialled and who our peers are.
//!
//! Sessions are not resumed: each connection shows its certificate anew, so
//! that an expired one is noticed at the next connection.

use std::fmt;
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError as TlsCertificateError, ClientConfig, DigitallySignedStruct,
    DistinguishedName, Error, OtherError, RootCertStore, ServerConfig, SignatureScheme,
};

use crate::certificates::NodeCertificates;
use crate::error::CertificateError;
use crate::identity::Identity;

/// What both sides must speak.
const PROTOCOL: &[u8] = b"raft-quic/1";

/// The cryptography in use, without relying on a process-wide default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The TLS side of a dialling endpoint.
pub(crate) fn client_config(
    certificates: &NodeCertificates,
    trust: Arc<Trust>,
) -> Result<QuicClientConfig, CertificateError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(key_error)?
        .dangerous()
        .with_custom_certificate_verifier(trust)
        .with_client_auth_cert(certificates.chain().to_vec(), certificates.key())
        .map_err(key_error)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    QuicClientConfig::try_from(config).map_err(|error| key_error(&error))
}

/// The TLS side of an accepting endpoint.
pub(crate) fn server_config(
    certificates: &NodeCertificates,
    trust: Arc<Trust>,
) -> Result<QuicServerConfig, CertificateError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(key_error)?
        .with_client_cert_verifier(trust)
        .with_single_cert(certificates.chain().to_vec(), certificates.key())
        .map_err(key_error)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    QuicServerConfig::try_from(config).map_err(|error| key_error(&error))
}

/// Whom an established connection speaks with, from its certificate.
pub(crate) fn peer_identity(connection: &quinn::Connection) -> Result<Identity, String> {
    let chain = connection
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or("the peer showed no certificate")?;
    let leaf = chain.first().ok_or("the peer showed no certificate")?;
    Identity::of_certificate(leaf).map_err(|error| error.to_string())
}

/// A TLS library's text for our own [`Distrust`] wraps it in the names of its
/// types; this is the text alone.
pub(crate) fn plain_reason(reason: &str) -> String {
    reason
        .replace("Other(OtherError(", "")
        .trim_end_matches("))")
        .to_owned()
}

/// Decides about certificates of peers, and about our own at start.
#[derive(Debug)]
pub(crate) struct Trust {
    cluster: String,
    roots: RootCertStore,
    clients: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
}

/// Why a certificate is not accepted, with what it says and what was expected.
struct Distrust(String);

impl Trust {
    pub(crate) fn new(
        certificates: &NodeCertificates,
        own: &Identity,
    ) -> Result<Self, CertificateError> {
        let mut roots = RootCertStore::empty();
        for authority in certificates.authorities() {
            roots
                .add(authority.clone())
                .map_err(|error| CertificateError::Pem {
                    origin: "the authority".into(),
                    what: "authority certificate",
                    reason: error.to_string(),
                })?;
        }
        let provider = provider();
        let clients = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots.clone()),
            Arc::clone(&provider),
        )
        .build()
        .map_err(|error| key_error(&error))?;
        Ok(Self {
            cluster: own.cluster().into(),
            roots,
            clients,
            provider,
        })
    }

    /// Both checks that peers will make, on our own chain.
    pub(crate) fn check_own(
        &self,
        chain: &[CertificateDer<'static>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let (leaf, between) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.check_signature(leaf, between, now)
            .and_then(|()| self.clients.verify_client_cert(leaf, between, now))
            .map(|_verified| ())
            .map_err(|error| self.explain(leaf, error))
    }

    fn check_signature(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf)?,
            &self.roots,
            between,
            now,
            self.provider.signature_verification_algorithms.all,
        )
    }

    /// Puts names to a refusal, so that both sides' logs can tell them.
    fn explain(&self, leaf: &CertificateDer<'_>, error: Error) -> Error {
        let whose = match Identity::of_certificate(leaf) {
            Ok(identity) => format!("certificate of {identity}"),
            Err(error) => format!("certificate ({error})"),
        };
        let why = match error {
            // Another authority of the same name shows as a wrong signature.
            Error::InvalidCertificate(
                TlsCertificateError::UnknownIssuer | TlsCertificateError::BadSignature,
            ) => "signed by another authority".into(),
            // The library's texts count the seconds; ours stay the same, so
            // that a standing refusal is recognised.
            Error::InvalidCertificate(TlsCertificateError::ExpiredContext {
                not_after, ..
            }) => format!("it expired {} s after 1970", not_after.as_secs()),
            Error::InvalidCertificate(TlsCertificateError::NotValidYetContext {
                not_before,
                ..
            }) => format!(
                "it is not valid before {} s after 1970",
                not_before.as_secs()
            ),
            other => other.to_string(),
        };
        let cluster = &self.cluster;
        distrust(format!(
            "{whose} is not trusted by cluster {cluster}: {why}"
        ))
    }

    fn check_cluster(&self, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        let identity =
            Identity::of_certificate(leaf).map_err(|error| distrust(error.to_string()))?;
        if identity.cluster() != self.cluster {
            let cluster = &self.cluster;
            return Err(distrust(format!(
                "certificate names {identity}, expected a node of cluster {cluster}"
            )));
        }
        Ok(())
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_signature(leaf, between, now)
            .map_err(|error| self.explain(leaf, error))?;
        self.check_cluster(leaf)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.clients.supported_verify_schemes()
    }
}

impl ClientCertVerifier for Trust {
    /// None: peers have one certificate and need no hint which to show.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .clients
            .verify_client_cert(leaf, between, now)
            .map_err(|error| self.explain(leaf, error))?;
        self.check_cluster(leaf)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.clients.supported_verify_schemes()
    }
}

fn distrust(reason: String) -> Error {
    Error::InvalidCertificate(TlsCertificateError::Other(OtherError(Arc::new(Distrust(
        reason,
    )))))
}

fn key_error(error: impl fmt::Display) -> CertificateError {
    CertificateError::Key {
        reason: error.to_string(),
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The same text: the TLS library shows other errors by their debug form.
impl fmt::Debug for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Distrust {}
