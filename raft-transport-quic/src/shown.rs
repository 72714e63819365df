//! What a certificate says of itself, in the words of a log line: whom it
//! names and its serial number, with which the authority's books find it.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::identity::Identity;

/// A stranger's certificate can say anything at any length; a log line shall not.
const LONGEST: usize = 160;

/// A certificate as it goes into texts: `certificate of raft://orders/2 (serial 3f…)`.
pub(crate) struct Shown {
    name: String,
    /// Empty if it cannot be read.
    serial: String,
}

impl Shown {
    pub(crate) fn of(der: &[u8]) -> Self {
        let name = match Identity::of_certificate(der) {
            Ok(identity) => format!("certificate of {identity}"),
            Err(error) => format!("certificate [{}]", clip(&error.to_string(), LONGEST)),
        };
        Self {
            name,
            serial: serial(der),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &*self.serial {
            "" => Ok(()),
            serial => write!(f, " (serial {serial})"),
        }
    }
}

/// The serial number as `openssl x509 -serial` shows it, in small letters;
/// empty if it cannot be read.
pub(crate) fn serial(der: &[u8]) -> String {
    X509Certificate::from_der(der)
        .map(|(_, parsed)| clip(&hex(parsed.raw_serial()), LONGEST))
        .unwrap_or_default()
}

/// When the first certificate of a chain ends: from then on the chain is worth nothing.
pub(crate) fn expires_at(chain: &[CertificateDer<'_>]) -> Option<SystemTime> {
    chain
        .iter()
        .filter_map(|der| X509Certificate::from_der(der).ok())
        .map(|(_, parsed)| system_time(parsed.validity().not_after))
        .min()
}

/// A moment of a certificate; what lies before 1970 is long ago either way.
pub(crate) fn system_time(moment: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(moment.timestamp()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// At most so many characters of a text, and a mark if there were more.
pub(crate) fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_shown_without_a_serial_number() {
        let text = Shown::of(b"nonsense").to_string();

        assert!(
            text.starts_with("certificate [the certificate cannot be parsed"),
            "{text}"
        );
        assert!(!text.contains("serial"), "{text}");
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let text = "é".repeat(LONGEST + 1);

        assert_eq!(clip(&text, LONGEST).chars().count(), LONGEST + 1);
        assert_eq!(clip("short", LONGEST), "short");
    }
}
