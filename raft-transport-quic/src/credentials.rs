//! The certificates in use, and how they are replaced while the node runs.
//!
//! One value holds what a handshake needs, made and checked as a whole; a
//! reload makes another one and puts it in the place of the first. Handshakes
//! take it once, at their beginning.
//!
//! A new certificate of our own does not end a connection: the peer task dials
//! another one with it, and the old one gives way when that is up (see `peer`).

use std::sync::Arc;

use quinn::{ClientConfig, ServerConfig, TransportConfig};

use crate::certificates::NodeCertificates;
use crate::error::CertificateError;
use crate::identity::Identity;
use crate::tls;
use crate::trust::Trust;

/// What handshakes are made with.
pub(crate) struct Credentials {
    pub(crate) trust: Arc<Trust>,
    pub(crate) dialling: ClientConfig,
    pub(crate) accepting: Arc<ServerConfig>,
    pub(crate) certificates: NodeCertificates,
    /// How often our own certificate changed since the start.
    pub(crate) renewals: u64,
    transport: Arc<TransportConfig>,
}

impl Credentials {
    /// The first ones.
    pub(crate) fn new(
        certificates: NodeCertificates,
        own: &Identity,
        transport: Arc<TransportConfig>,
    ) -> Result<Self, CertificateError> {
        let trust = Arc::new(certificates.check(own)?);
        let mut dialling =
            ClientConfig::new(Arc::new(tls::client_config(&certificates, trust.clone())?));
        dialling.transport_config(Arc::clone(&transport));
        let mut accepting =
            ServerConfig::with_crypto(Arc::new(tls::server_config(&certificates, trust.clone())?));
        accepting
            .transport_config(Arc::clone(&transport))
            // A peer whose address changes on the way, behind an address translator or
            // with its machine, shows by its keys that it is the same one, and goes on
            // within a round trip. Refused, it would be silent until the idle timeout,
            // which is longer than an election's.
            .migration(true);
        Ok(Self {
            trust,
            dialling,
            accepting: Arc::new(accepting),
            certificates,
            renewals: 0,
            transport,
        })
    }

    /// Those that follow these, if they are fit for use.
    pub(crate) fn renewed(
        &self,
        certificates: NodeCertificates,
        own: &Identity,
    ) -> Result<Self, CertificateError> {
        let changed = certificates.chain() != self.certificates.chain();
        let mut next = Self::new(certificates, own, Arc::clone(&self.transport))?;
        next.renewals = self.renewals + u64::from(changed);
        Ok(next)
    }
}
