//! An authority for development and tests: makes certificates on the spot.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use raft_core::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::certificates::{CA_FILE, CERTIFICATE_FILE, KEY_FILE, NodeCertificates};
use crate::error::CertificateError;
use crate::identity::Identity;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Clocks of different machines differ; a certificate made now is valid a little earlier.
const CLOCK_TOLERANCE: Duration = DAY;
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * DAY.as_secs());
const NODE_LIFETIME: Duration = Duration::from_secs(365 * DAY.as_secs());

/// A throwaway authority of one cluster. Its key lives in memory, or where you put it.
pub struct DevAuthority {
    cluster: String,
    certificate: String,
    key: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a node needs, as PEM texts.
#[derive(Clone)]
pub struct NodePem {
    /// The authority's certificate, for `ca.pem`; those of several authorities
    /// are put one after the other.
    pub ca: String,
    /// The node's certificate, for `node.pem`.
    pub certificate: String,
    /// The node's private key, for `node.key`.
    pub key: String,
}

impl DevAuthority {
    /// A new authority with a new key.
    ///
    /// # Errors
    ///
    /// A cluster name that cannot stand in a certificate.
    pub fn new(cluster: &str) -> Result<Self, CertificateError> {
        Identity::new(cluster, NodeId::new(0))?;
        let key = KeyPair::generate().map_err(make)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // An authority and its successor are to be told apart.
        let mark = crc32fast::hash(key.public_key_raw());
        let name = format!("raft development authority of {cluster} {mark:08x}");
        params.distinguished_name.push(DnType::CommonName, name);
        let now = SystemTime::now();
        params.not_before = (now - CLOCK_TOLERANCE).into();
        params.not_after = (now + AUTHORITY_LIFETIME).into();
        let certificate = params.self_signed(&key).map_err(make)?;
        Ok(Self {
            cluster: cluster.into(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// An authority made earlier, from its certificate and key. Of several
    /// certificates in `ca` the first is its own; nodes trust all of them.
    ///
    /// # Errors
    ///
    /// When the texts are not what [`DevAuthority::ca_pem`] and
    /// [`DevAuthority::ca_key_pem`] gave.
    pub fn from_pem(cluster: &str, ca: &str, key: &str) -> Result<Self, CertificateError> {
        Identity::new(cluster, NodeId::new(0))?;
        let pair = KeyPair::from_pem(key).map_err(make)?;
        Ok(Self {
            cluster: cluster.into(),
            certificate: ca.into(),
            key: key.into(),
            issuer: Issuer::from_ca_cert_pem(ca, pair).map_err(make)?,
        })
    }

    /// The authority's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.certificate
    }

    /// The authority's key; who has it can be any node.
    pub fn ca_key_pem(&self) -> &str {
        &self.key
    }

    pub(crate) const fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// A certificate and key for `node`, valid from yesterday for a year.
    ///
    /// # Errors
    ///
    /// When the key cannot be made.
    pub fn node(&self, node: NodeId) -> Result<NodePem, CertificateError> {
        let now = SystemTime::now();
        self.node_valid(node, now - CLOCK_TOLERANCE, now + NODE_LIFETIME)
    }

    /// A certificate and key for `node`, valid between two moments.
    ///
    /// # Errors
    ///
    /// When the key cannot be made.
    pub fn node_valid(
        &self,
        node: NodeId,
        from: SystemTime,
        to: SystemTime,
    ) -> Result<NodePem, CertificateError> {
        let identity = Identity::new(self.cluster.clone(), node)?;
        let key = KeyPair::generate().map_err(make)?;
        let uri = identity.to_string().try_into().map_err(make)?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let name = format!("node {} of {}", node.get(), self.cluster);
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = from.into();
        params.not_after = to.into();
        let certificate = params.signed_by(&key, &self.issuer).map_err(make)?;
        Ok(NodePem {
            ca: self.certificate.clone(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

impl NodePem {
    /// The same, ready for [`QuicConfig`](crate::QuicConfig).
    ///
    /// # Errors
    ///
    /// When a text is not PEM.
    pub fn certificates(&self) -> Result<NodeCertificates, CertificateError> {
        NodeCertificates::from_pem(&self.ca, &self.certificate, &self.key)
    }

    /// Writes `ca.pem`, `node.pem` and `node.key` into a directory that exists.
    /// Only the owner can read the key, where the system knows owners.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write_to(&self, directory: impl AsRef<Path>) -> std::io::Result<()> {
        let directory = directory.as_ref();
        std::fs::write(directory.join(CA_FILE), &self.ca)?;
        std::fs::write(directory.join(CERTIFICATE_FILE), &self.certificate)?;
        write_secret(&directory.join(KEY_FILE), &self.key)
    }
}

/// Keys stay out of logs.
impl fmt::Debug for DevAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevAuthority")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

/// Keys stay out of logs.
impl fmt::Debug for NodePem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodePem").finish_non_exhaustive()
    }
}

pub(crate) fn make(error: rcgen::Error) -> CertificateError {
    CertificateError::Make {
        reason: error.to_string(),
    }
}

fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;

    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
