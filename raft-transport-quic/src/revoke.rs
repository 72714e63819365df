//! How an authority for development declares certificates out before they
//! expire. `revocation` is the other side: who reads the list.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use crate::authority::{DevAuthority, make};
use crate::error::CertificateError;
use crate::revocation::{LIST, check_signature};
use crate::shown::{Shown, system_time};

/// As long as a node's certificate: what is on a list has expired by then.
const LIST_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// When each serial number was revoked.
type Entries = BTreeMap<Vec<u8>, SystemTime>;

impl DevAuthority {
    /// A list (CRL) with `certificates` and those that this authority revoked
    /// before, all PEM texts, for `revoked.pem`. In the text of `previous` may be
    /// lists of other authorities; they are not taken over.
    ///
    /// # Errors
    ///
    /// When a text is not PEM, a certificate is not of this authority, or the
    /// list cannot be made.
    pub fn revoke(
        &self,
        certificates: &[&str],
        previous: Option<&str>,
    ) -> Result<String, CertificateError> {
        let own = CertificateDer::from_pem_slice(self.ca_pem().as_bytes())
            .map_err(|error| unusable("authority certificate", &error.to_string()))?;
        let mut entries = match previous {
            Some(pem) => entries_of(pem, &own)?,
            None => Entries::new(),
        };
        let now = SystemTime::now();
        for pem in certificates {
            entries.entry(serial_of(pem, &own)?).or_insert(now);
        }
        self.list(entries, now)
    }

    fn list(&self, entries: Entries, now: SystemTime) -> Result<String, CertificateError> {
        let since_1970 = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let revoked = entries.into_iter().map(|(serial, at)| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial),
            revocation_time: at.into(),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now.into(),
            next_update: (now + LIST_LIFETIME).into(),
            crl_number: SerialNumber::from(since_1970.as_secs()),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(self.issuer()).map_err(make)?;
        list.pem().map_err(make)
    }
}

/// The serial number of a certificate that `authority` signed.
fn serial_of(pem: &str, authority: &CertificateDer<'_>) -> Result<Vec<u8>, CertificateError> {
    const WHAT: &str = "node certificate";
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| unusable(WHAT, &error.to_string()))?;
    let (_, certificate) = parse(&der, WHAT)?;
    let (_, authority) = parse(authority, "authority certificate")?;
    if certificate
        .verify_signature(Some(authority.public_key()))
        .is_err()
    {
        let shown = Shown::of(&der);
        return Err(CertificateError::Make {
            reason: format!("the {shown} is of another authority, which alone can revoke it"),
        });
    }
    Ok(certificate.tbs_certificate.serial.to_bytes_be())
}

/// What earlier lists of `authority` hold.
fn entries_of(pem: &str, authority: &CertificateDer<'_>) -> Result<Entries, CertificateError> {
    let mut entries = Entries::new();
    for der in CertificateRevocationListDer::pem_slice_iter(pem.as_bytes()) {
        let der = der.map_err(|error| unusable(LIST, &error.to_string()))?;
        let (_, list) = CertificateRevocationList::from_der(&der)
            .map_err(|error| unusable(LIST, &error.to_string()))?;
        if check_signature(&list, std::slice::from_ref(authority)).is_err() {
            continue;
        }
        for entry in list.iter_revoked_certificates() {
            let at = system_time(entry.revocation_date);
            entries.entry(entry.serial().to_bytes_be()).or_insert(at);
        }
    }
    Ok(entries)
}

fn parse<'a>(
    der: &'a CertificateDer<'_>,
    what: &'static str,
) -> Result<(&'a [u8], X509Certificate<'a>), CertificateError> {
    X509Certificate::from_der(der).map_err(|error| unusable(what, &error.to_string()))
}

fn unusable(what: &'static str, reason: &str) -> CertificateError {
    CertificateError::Pem {
        origin: format!("the text of the {what}"),
        what,
        reason: reason.into(),
    }
}
