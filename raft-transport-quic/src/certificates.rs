//! Certificates and keys: read from files or strings, checked at start, and
//! made for development.
//!
//! In production an authority of your own issues them: per node one
//! certificate with the URI name `raft://<cluster>/<node>`, usable for both
//! client and server authentication. [`DevAuthority`] makes the same shape.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;

pub use crate::authority::{DevAuthority, NodePem};
use crate::error::CertificateError;
use crate::identity::Identity;
use crate::revocation::{LIST, RevocationLists};
use crate::shown::Shown;
use crate::trust::Trust;
use crate::{shown, tls};

/// File with the certificates of the authorities to trust.
pub const CA_FILE: &str = "ca.pem";
/// File with the node's certificate, and those between it and the authority.
pub const CERTIFICATE_FILE: &str = "node.pem";
/// File with the node's private key.
pub const KEY_FILE: &str = "node.key";
/// File with the lists of revoked certificates, if there is one.
pub const REVOKED_FILE: &str = "revoked.pem";

/// What a node shows, and whom it trusts.
#[derive(Clone)]
pub struct NodeCertificates {
    authorities: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    revocations: RevocationLists,
}

impl NodeCertificates {
    /// Reads `ca.pem`, `node.pem` and `node.key` of a directory, and
    /// `revoked.pem` if it is there.
    ///
    /// # Errors
    ///
    /// Names the file that is missing, unreadable or not PEM.
    pub fn load(directory: impl AsRef<Path>) -> Result<Self, CertificateError> {
        let directory = directory.as_ref();
        let certificates = Self::load_files(
            directory.join(CA_FILE),
            directory.join(CERTIFICATE_FILE),
            directory.join(KEY_FILE),
        )?;
        let revoked = directory.join(REVOKED_FILE);
        // Only its absence means that nothing is revoked.
        match revoked.try_exists() {
            Ok(false) => Ok(certificates),
            Ok(true) | Err(_) => certificates.with_revoked_file(revoked),
        }
    }

    /// Reads the three files from where they are.
    ///
    /// # Errors
    ///
    /// As [`NodeCertificates::load`].
    pub fn load_files(
        ca: impl Into<PathBuf>,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, CertificateError> {
        let (ca, certificate, key) = (ca.into(), certificate.into(), key.into());
        Ok(Self {
            authorities: certificates(&read(&ca, AUTHORITY)?, &ca.display(), AUTHORITY)?,
            chain: certificates(
                &read(&certificate, CERTIFICATE)?,
                &certificate.display(),
                CERTIFICATE,
            )?,
            key: private_key(&read(&key, KEY)?, &key.display())?,
            revocations: RevocationLists::default(),
        })
    }

    /// The same, without the certificates that a file revokes: PEM, one
    /// complete list (CRL) or several, each signed by an authority in `ca.pem`.
    ///
    /// An entry counts for as long as its list is in the file, also after the
    /// list's next update is overdue; that is warned about. An authority without
    /// a list has revoked nothing. Lists of changes (delta) and lists with a
    /// scope are refused.
    ///
    /// # Errors
    ///
    /// A file that is missing, unreadable, or holds no list. Whose the lists
    /// are is checked at [`QuicNetwork::bind`](crate::QuicNetwork::bind) and
    /// [`QuicNetwork::reload`](crate::QuicNetwork::reload).
    pub fn with_revoked_file(mut self, path: impl Into<PathBuf>) -> Result<Self, CertificateError> {
        let path = path.into();
        let origin = path.display().to_string();
        self.revocations = RevocationLists::from_pem(&read(&path, LIST)?, origin)?;
        Ok(self)
    }

    /// As [`NodeCertificates::with_revoked_file`], from a PEM text.
    ///
    /// # Errors
    ///
    /// When there is no list in it.
    pub fn with_revoked(mut self, pem: &str) -> Result<Self, CertificateError> {
        let origin = "the text of revoked certificates".to_owned();
        self.revocations = RevocationLists::from_pem(pem.as_bytes(), origin)?;
        Ok(self)
    }

    /// Takes the three as PEM texts.
    ///
    /// # Errors
    ///
    /// Says which of them is not PEM.
    pub fn from_pem(ca: &str, certificate: &str, key: &str) -> Result<Self, CertificateError> {
        Ok(Self {
            authorities: certificates(ca.as_bytes(), &"the authority's text", AUTHORITY)?,
            chain: certificates(
                certificate.as_bytes(),
                &"the certificate's text",
                CERTIFICATE,
            )?,
            key: private_key(key.as_bytes(), &"the key's text")?,
            revocations: RevocationLists::default(),
        })
    }

    /// Whom the certificate names.
    ///
    /// # Errors
    ///
    /// When it names no node of a cluster.
    pub fn identity(&self) -> Result<Identity, CertificateError> {
        Ok(Identity::of_certificate(self.leaf())?)
    }

    /// The certificate's serial number, as logs and `openssl x509 -serial` show it.
    pub fn serial(&self) -> String {
        shown::serial(self.leaf())
    }

    /// How many authorities are trusted.
    pub fn authority_count(&self) -> usize {
        self.authorities.len()
    }

    /// When the certificate expires, or the first of those between it and the authority.
    pub fn expires_at(&self) -> SystemTime {
        shown::expires_at(&self.chain).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Refuses what no peer would accept: another identity, another authority,
    /// an expired certificate, a key of another certificate. Gives whom we trust.
    pub(crate) fn check(&self, expected: &Identity) -> Result<Trust, CertificateError> {
        let found = self.identity()?;
        if found != *expected {
            return Err(CertificateError::WrongIdentity {
                found,
                expected: expected.clone(),
            });
        }
        CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &tls::provider())
            .map_err(|error| CertificateError::Key {
                reason: error.to_string(),
            })?;
        let trust = Trust::new(self, expected)?;
        trust
            .check(&self.chain, UnixTime::now())
            .map_err(|distrust| CertificateError::Untrusted {
                identity: found,
                reason: distrust.to_string(),
            })?;
        Ok(trust)
    }

    pub(crate) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    pub(crate) const fn revocations(&self) -> &RevocationLists {
        &self.revocations
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// The certificate, as logs name it.
    pub(crate) fn shown(&self) -> Shown {
        Shown::of(self.leaf())
    }

    fn leaf(&self) -> &CertificateDer<'static> {
        self.chain.first().expect("a chain is never built empty")
    }
}

/// The key stays out of logs.
impl fmt::Debug for NodeCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCertificates")
            .field("identity", &self.identity())
            .finish_non_exhaustive()
    }
}

const AUTHORITY: &str = "authority certificate";
const CERTIFICATE: &str = "node certificate";
const KEY: &str = "private key";

fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|source| CertificateError::Read {
        path: path.into(),
        what,
        source,
    })
}

fn certificates(
    pem: &[u8],
    origin: &dyn fmt::Display,
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let unusable = |reason: String| CertificateError::Pem {
        origin: origin.to_string(),
        what,
        reason,
    };
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(error.to_string()))?;
    if found.is_empty() {
        return Err(unusable("no CERTIFICATE block in it".into()));
    }
    Ok(found)
}

fn private_key(
    pem: &[u8],
    origin: &dyn fmt::Display,
) -> Result<Arc<PrivateKeyDer<'static>>, CertificateError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map(Arc::new)
        .map_err(|error| CertificateError::Pem {
            origin: origin.to_string(),
            what: KEY,
            reason: error.to_string(),
        })
}
