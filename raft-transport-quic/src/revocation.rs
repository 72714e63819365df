//! Certificates that are out before they expire: the authority's list of them
//! (a CRL, RFC 5280), read from a file.
//!
//! A list only ever takes trust away, so the rules are simple and err on the
//! side of refusing:
//!
//! - It counts when one of the authorities in `ca.pem` signed it. A list of
//!   somebody else, a damaged one and an empty file are refused as a whole, and
//!   nothing of the old state changes.
//! - Every list counts, and every entry, whatever its reason; several lists of
//!   one authority add up.
//! - A list whose next update is overdue still counts: what it revoked does not
//!   become good again. It does not stop the cluster either, it is warned about.
//! - An authority without a list has revoked nothing.
//! - Lists of changes, and lists about certificates of other authorities, are
//!   refused: half understood, they would let somebody in.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use crate::error::CertificateError;
use crate::shown::system_time;

/// What a list is called in texts.
pub(crate) const LIST: &str = "list of revoked certificates";

/// Lists as they were read; whose they are is checked by [`Revoked::new`].
#[derive(Clone, Default)]
pub(crate) struct RevocationLists {
    origin: String,
    lists: Arc<[CertificateRevocationListDer<'static>]>,
}

impl RevocationLists {
    /// Takes PEM text; `origin` is where it comes from.
    pub(crate) fn from_pem(pem: &[u8], origin: String) -> Result<Self, CertificateError> {
        let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
        let reason = match found {
            Ok(lists) if lists.is_empty() => "no X509 CRL block in it".to_owned(),
            Ok(lists) => {
                let lists = lists.into();
                return Ok(Self { origin, lists });
            }
            Err(error) => error.to_string(),
        };
        Err(CertificateError::Pem {
            origin,
            what: LIST,
            reason,
        })
    }
}

/// The certificates that are out.
#[derive(Debug, Default)]
pub(crate) struct Revoked {
    /// Name of the authority and serial number, both as certificates carry them.
    serials: HashSet<(Vec<u8>, Vec<u8>)>,
    next_update: Option<SystemTime>,
}

impl Revoked {
    /// Reads the lists, each of which one of `authorities` must have signed.
    pub(crate) fn new(
        lists: &RevocationLists,
        authorities: &[CertificateDer<'_>],
    ) -> Result<Self, CertificateError> {
        let mut revoked = Self::default();
        for list in &*lists.lists {
            revoked
                .add(list, authorities)
                .map_err(|reason| CertificateError::Revocations {
                    origin: lists.origin.clone(),
                    reason,
                })?;
        }
        Ok(revoked)
    }

    fn add(&mut self, der: &[u8], authorities: &[CertificateDer<'_>]) -> Result<(), String> {
        let (_, list) = CertificateRevocationList::from_der(der)
            .map_err(|error| format!("it cannot be parsed: {error}"))?;
        check_signature(&list, authorities)?;
        check_extensions(&list)?;
        let issuer = list.issuer().as_raw();
        for entry in list.iter_revoked_certificates() {
            if let Some(unknown) = entry.extensions().iter().find(|found| found.critical) {
                let oid = &unknown.oid;
                return Err(format!("an entry has the extension {oid}, unknown here"));
            }
            let serial = entry.serial().to_bytes_be();
            self.serials.insert((issuer.to_vec(), serial));
        }
        let due = list.next_update().map(system_time);
        self.next_update = self.next_update.into_iter().chain(due).min();
        Ok(())
    }

    /// Whether a list names this certificate.
    pub(crate) fn contains(&self, der: &[u8]) -> bool {
        // What cannot be parsed was refused before, or is not let in here.
        X509Certificate::from_der(der).map_or(true, |(_, parsed)| {
            let issuer = parsed.issuer().as_raw().to_vec();
            let serial = parsed.tbs_certificate.serial.to_bytes_be();
            self.serials.contains(&(issuer, serial))
        })
    }

    /// How many certificates are out.
    pub(crate) fn len(&self) -> usize {
        self.serials.len()
    }

    /// When the first of the lists should have been replaced.
    pub(crate) const fn next_update(&self) -> Option<SystemTime> {
        self.next_update
    }
}

/// One of the authorities must have signed it. Two may have the same name.
pub(crate) fn check_signature(
    list: &CertificateRevocationList<'_>,
    authorities: &[CertificateDer<'_>],
) -> Result<(), String> {
    let signed = authorities
        .iter()
        .filter_map(|der| X509Certificate::from_der(der).ok())
        .filter(|(_, authority)| authority.subject().as_raw() == list.issuer().as_raw())
        .any(|(_, authority)| list.verify_signature(authority.public_key()).is_ok());
    if signed {
        return Ok(());
    }
    let issuer = list.issuer();
    Err(format!(
        "the list of \"{issuer}\" is signed by none of the authorities to trust; \
         remove the list with its authority, or replace it"
    ))
}

/// Critical extensions change what a list means; we know none of them.
fn check_extensions(list: &CertificateRevocationList<'_>) -> Result<(), String> {
    match list.extensions().iter().find(|found| found.critical) {
        Some(unknown) => Err(format!(
            "it has the extension {}, unknown here; a complete list of one authority is needed",
            unknown.oid
        )),
        None => Ok(()),
    }
}

impl fmt::Debug for RevocationLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationLists")
            .field("origin", &self.origin)
            .field("lists", &self.lists.len())
            .finish()
    }
}
