//! Decides about certificates: those of peers at each handshake and while a
//! connection lasts, and our own before it is used.
//!
//! Good is what one of our authorities signed for both roles of a connection,
//! what is valid now, what no list of revoked certificates names, and what
//! names a node of our cluster. Which node is checked after the handshake,
//! where it is known whom we dialled and who our peers are.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError as TlsCertificateError, DigitallySignedStruct, DistinguishedName, Error,
    OtherError, RootCertStore, SignatureScheme,
};

use crate::certificates::NodeCertificates;
use crate::error::{CertificateError, Direction};
use crate::identity::Identity;
use crate::revocation::Revoked;
use crate::shown::Shown;
use crate::telemetry::{FailureReason, count_handshake_failure};
use crate::tls;

/// Whom to trust, as the files said when they were read last.
#[derive(Debug)]
pub(crate) struct Trust {
    cluster: String,
    roots: RootCertStore,
    clients: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
    revoked: Revoked,
}

/// Why a certificate is not accepted.
pub(crate) struct Distrust {
    reason: FailureReason,
    /// Which certificate, what is wrong with it, and what was expected.
    text: String,
}

impl Trust {
    pub(crate) fn new(
        certificates: &NodeCertificates,
        own: &Identity,
    ) -> Result<Self, CertificateError> {
        let revoked = Revoked::new(certificates.revocations(), certificates.authorities())?;
        let mut roots = RootCertStore::empty();
        // What another authority declared out is none any more.
        let is_good = |authority: &&CertificateDer<'_>| !revoked.contains(authority);
        for authority in certificates.authorities().iter().filter(is_good) {
            roots
                .add(authority.clone())
                .map_err(|error| CertificateError::Pem {
                    origin: "the authority".into(),
                    what: "authority certificate",
                    reason: error.to_string(),
                })?;
        }
        let provider = tls::provider();
        let clients = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots.clone()),
            Arc::clone(&provider),
        )
        .build()
        .map_err(|error| tls::key_error(&error))?;
        Ok(Self {
            cluster: own.cluster().into(),
            roots,
            clients,
            provider,
            revoked,
        })
    }

    /// The lists of certificates that are out.
    pub(crate) const fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    /// Everything that makes a certificate good at `now`. It costs a few
    /// signature checks, some 0.2 ms.
    pub(crate) fn check(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Distrust> {
        let (leaf, between) = chain.split_first().ok_or_else(|| Distrust {
            reason: FailureReason::NoCertificate,
            text: "no certificate was shown".into(),
        })?;
        self.check_leaf(leaf, between, now)
    }

    fn check_leaf(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Distrust> {
        self.check_path(leaf, between, now)
            .map_err(|error| self.explain(leaf, &error))?;
        let mut chain = std::iter::once(leaf).chain(between);
        if let Some(out) = chain.find(|der| self.revoked.contains(der)) {
            let text = if out == leaf {
                "it was revoked".to_owned()
            } else {
                format!("its issuer's {} was revoked", Shown::of(out))
            };
            return Err(self.distrust(leaf, FailureReason::Revoked, &text));
        }
        self.check_cluster(leaf)
    }

    /// Signed by one of ours, for both roles: each node dials and is dialled.
    fn check_path(
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
        )?;
        self.clients
            .verify_client_cert(leaf, between, now)
            .map(|_verified| ())
    }

    fn check_cluster(&self, leaf: &CertificateDer<'_>) -> Result<(), Distrust> {
        let cluster = &self.cluster;
        match Identity::of_certificate(leaf) {
            Ok(identity) if identity.cluster() == cluster => Ok(()),
            Ok(_) => {
                let why = format!("expected a node of cluster {cluster}");
                Err(self.distrust(leaf, FailureReason::WrongCluster, &why))
            }
            // What it names instead is in its name.
            Err(_) => Err(self.distrust(leaf, FailureReason::BadName, "it names no node")),
        }
    }

    /// Puts names to a refusal, so that both sides' logs can tell them.
    fn explain(&self, leaf: &CertificateDer<'_>, error: &Error) -> Distrust {
        let (reason, why) = match error {
            // Another authority of the same name shows as a wrong signature.
            Error::InvalidCertificate(
                TlsCertificateError::UnknownIssuer | TlsCertificateError::BadSignature,
            ) => (
                FailureReason::UnknownAuthority,
                "signed by another authority".into(),
            ),
            // The library's texts count the seconds; ours stay the same, so
            // that a standing refusal is recognised.
            Error::InvalidCertificate(TlsCertificateError::ExpiredContext {
                not_after, ..
            }) => (
                FailureReason::Expired,
                format!("it expired {} s after 1970", not_after.as_secs()),
            ),
            Error::InvalidCertificate(TlsCertificateError::NotValidYetContext {
                not_before,
                ..
            }) => (
                FailureReason::NotYetValid,
                format!(
                    "it is not valid before {} s after 1970",
                    not_before.as_secs()
                ),
            ),
            other => (FailureReason::BadCertificate, other.to_string()),
        };
        self.distrust(leaf, reason, &why)
    }

    fn distrust(&self, leaf: &CertificateDer<'_>, reason: FailureReason, why: &str) -> Distrust {
        let (shown, cluster) = (Shown::of(leaf), &self.cluster);
        Distrust {
            reason,
            text: format!("{shown} is not trusted by cluster {cluster}: {why}"),
        }
    }

    /// The check of a handshake: a refusal is counted here, where its reason is known.
    fn greet(
        &self,
        direction: Direction,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        self.check_leaf(leaf, between, now).map_err(|distrust| {
            count_handshake_failure(direction, distrust.reason);
            Error::InvalidCertificate(TlsCertificateError::Other(OtherError(Arc::new(distrust))))
        })
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
        self.greet(Direction::Outgoing, leaf, between, now)
            .map(|()| ServerCertVerified::assertion())
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
        self.greet(Direction::Incoming, leaf, between, now)
            .map(|()| ClientCertVerified::assertion())
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

/// A TLS library's text for our own [`Distrust`] wraps it in the names of its
/// types; this is the text alone.
pub(crate) fn plain_reason(reason: &str) -> String {
    reason
        .replace("Other(OtherError(", "")
        .trim_end_matches("))")
        .to_owned()
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The same text: the TLS library shows other errors by their debug form.
impl fmt::Debug for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Distrust {}
