//! Mutual TLS 1.3, in which [`Trust`](crate::trust::Trust) decides on both sides.
//!
//! Sessions are not resumed: each connection shows its certificate anew, so
//! that an expired or revoked one is noticed at the next connection. With that,
//! nothing is ever sent before the handshake is complete (no 0-RTT), which an
//! attacker could record and repeat.

use std::fmt;
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig};

use crate::certificates::NodeCertificates;
use crate::error::CertificateError;
use crate::identity::Identity;
use crate::shown::Shown;
use crate::trust::Trust;

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
    let config = dialling(certificates, trust)?;
    QuicClientConfig::try_from(config).map_err(|error| key_error(&error))
}

/// The TLS side of an accepting endpoint.
pub(crate) fn server_config(
    certificates: &NodeCertificates,
    trust: Arc<Trust>,
) -> Result<QuicServerConfig, CertificateError> {
    let config = accepting(certificates, trust)?;
    QuicServerConfig::try_from(config).map_err(|error| key_error(&error))
}

fn dialling(
    certificates: &NodeCertificates,
    trust: Arc<Trust>,
) -> Result<ClientConfig, CertificateError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(key_error)?
        .dangerous()
        .with_custom_certificate_verifier(trust)
        .with_client_auth_cert(certificates.chain().to_vec(), certificates.key())
        .map_err(key_error)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Ok(config)
}

fn accepting(
    certificates: &NodeCertificates,
    trust: Arc<Trust>,
) -> Result<ServerConfig, CertificateError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(key_error)?
        .with_client_cert_verifier(trust)
        .with_single_cert(certificates.chain().to_vec(), certificates.key())
        .map_err(key_error)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// The certificates that the other side of an established connection showed.
pub(crate) fn peer_chain(connection: &quinn::Connection) -> Vec<CertificateDer<'static>> {
    connection
        .peer_identity()
        .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok())
        .map(|chain| *chain)
        .unwrap_or_default()
}

/// The other side's certificate, as logs name it.
pub(crate) fn peer_shown(connection: &quinn::Connection) -> String {
    match peer_chain(connection).first() {
        Some(leaf) => Shown::of(leaf).to_string(),
        None => "no certificate".into(),
    }
}

/// Whom an established connection speaks with, from its certificate.
pub(crate) fn peer_identity(connection: &quinn::Connection) -> Result<Identity, String> {
    let chain = peer_chain(connection);
    let leaf = chain.first().ok_or("the peer showed no certificate")?;
    Identity::of_certificate(leaf).map_err(|error| error.to_string())
}

pub(crate) fn key_error(error: impl fmt::Display) -> CertificateError {
    CertificateError::Key {
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use raft_core::NodeId;

    use super::*;
    use crate::certificates::DevAuthority;

    #[test]
    fn neither_side_resumes_sessions_or_speaks_before_the_handshake_is_complete() {
        let node = DevAuthority::new("test")
            .and_then(|authority| authority.node(NodeId::new(1)))
            .and_then(|pem| pem.certificates())
            .expect("a development certificate is usable");
        let own = node.identity().expect("it names a node");
        let trust = Arc::new(Trust::new(&node, &own).expect("its authority is usable"));

        let client = dialling(&node, Arc::clone(&trust)).expect("dialling works");
        let server = accepting(&node, trust).expect("accepting works");

        assert!(!client.enable_early_data);
        assert!(!client.enable_sni);
        assert_eq!(server.max_early_data_size, 0);
        assert_eq!(server.send_tls13_tickets, 0);
        assert!(!server.session_storage.can_cache());
    }
}
