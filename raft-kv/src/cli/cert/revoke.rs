//! `raft-kv cert revoke`: a list of certificates that are not good any more.

use std::path::{Path, PathBuf};

use raft_kv::config::ClusterId;
use raft_transport_quic::{CertificateError, DevAuthority};

use super::authority::{predecessor, read};
use super::{Error, Place, REVOKED, load, replace};

/// The arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The certificates (PEM); keep a copy of one that you replace
    #[arg(value_name = "FILE", required = true)]
    certificates: Vec<PathBuf>,
}

/// Adds them to the list.
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let Place { out, cluster } = &arguments.place;
    revoke(out, cluster, &arguments.certificates)?;
    println!(
        "give {} to all nodes, as tls.revoked",
        out.join(REVOKED).display()
    );
    Ok(())
}

/// Adds certificates to the lists of the authorities that signed them.
pub(super) fn revoke(out: &Path, cluster: &ClusterId, files: &[PathBuf]) -> Result<(), Error> {
    let authorities: Vec<_> = std::iter::once(load(out, cluster)?)
        .chain(predecessor(out, cluster)?)
        .collect();
    let path = out.join(REVOKED);
    let mut lists = match path.exists() {
        true => read(path.clone())?,
        false => String::new(),
    };
    for file in files {
        lists = add(&authorities, &read(file.clone())?, &lists)?;
    }
    replace(path, &lists, 0o644)
}

/// The lists of all authorities, with a certificate that one of them signed.
fn add(
    authorities: &[DevAuthority],
    certificate: &str,
    lists: &str,
) -> Result<String, CertificateError> {
    let added: Vec<_> = authorities
        .iter()
        .map(|authority| authority.revoke(&[certificate], Some(lists)))
        .collect();
    if added.iter().all(Result::is_err) {
        return added.into_iter().collect();
    }
    let kept = |authority: &DevAuthority| authority.revoke(&[], Some(lists));
    authorities
        .iter()
        .zip(added)
        .map(|(authority, added)| added.or_else(|_another_signed_it| kept(authority)))
        .collect()
}
