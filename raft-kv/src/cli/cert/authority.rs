//! `raft-kv cert authority`: an authority, and its replacement by overlap.
//!
//! A successor signs from its beginning, and `ca.pem` holds both, so that nodes
//! with the old and the new certificates trust each other. When all have new
//! ones, the predecessor goes.

use std::path::{Path, PathBuf};

use raft_kv::config::ClusterId;
use raft_transport_quic::DevAuthority;

use super::{AUTHORITY, AUTHORITY_KEY, Error, Place, REVOKED, create, load, replace, save};

const PREDECESSOR: &str = "ca.previous.pem";
const PREDECESSOR_KEY: &str = "ca.previous.key";

/// The arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Make another authority beside the one that is there, which is trusted on
    #[arg(long, conflicts_with = "retire")]
    successor: bool,
    /// Trust the successor only
    #[arg(long)]
    retire: bool,
}

/// Makes an authority, or replaces it.
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let Place { out, cluster } = &arguments.place;
    let file = out.join(AUTHORITY);
    let file = file.display();
    if arguments.successor {
        succeed(out, cluster)?;
        println!(
            "{file} holds two authorities; give it to all nodes, then make their certificates anew"
        );
    } else if arguments.retire {
        retire(out, cluster)?;
        println!("{file} holds the new authority only; give it to all nodes");
    } else {
        begin(out, cluster)?;
        println!("the authority of cluster {cluster} is in {file}");
    }
    Ok(())
}

/// The first authority.
pub(super) fn begin(out: &Path, cluster: &ClusterId) -> Result<(), Error> {
    create(out)?;
    let path = out.join(AUTHORITY);
    if path.exists() {
        let hint = "give --successor to replace it by overlap";
        return Err(Error::AuthorityExists { path, hint });
    }
    save(&DevAuthority::new(cluster.name())?, out)
}

/// A second one, which signs from now on. Both are trusted.
pub(super) fn succeed(out: &Path, cluster: &ClusterId) -> Result<(), Error> {
    let old = load(out, cluster)?;
    let path = out.join(PREDECESSOR);
    if path.exists() {
        let hint = "give --retire to end the replacement that was begun";
        return Err(Error::AuthorityExists { path, hint });
    }
    let new = DevAuthority::new(cluster.name())?;
    let both = format!("{}{}", new.ca_pem(), old.ca_pem());
    replace(out.join(PREDECESSOR_KEY), old.ca_key_pem(), 0o600)?;
    replace(path, old.ca_pem(), 0o644)?;
    replace(out.join(AUTHORITY_KEY), new.ca_key_pem(), 0o600)?;
    replace(out.join(AUTHORITY), &both, 0o644)
}

/// The predecessor goes, and its list of revoked certificates with it.
pub(super) fn retire(out: &Path, cluster: &ClusterId) -> Result<(), Error> {
    let old = predecessor(out, cluster)?.ok_or_else(|| Error::NoPredecessor {
        path: out.join(PREDECESSOR),
    })?;
    let new = load(out, cluster)?;
    let only = new.ca_pem().replace(old.ca_pem(), "");
    let revoked = out.join(REVOKED);
    if revoked.exists() {
        let lists = read(revoked.clone())?;
        replace(revoked, &new.revoke(&[], Some(&lists))?, 0o644)?;
    }
    replace(out.join(AUTHORITY), &only, 0o644)?;
    for gone in [PREDECESSOR, PREDECESSOR_KEY].map(|name| out.join(name)) {
        std::fs::remove_file(&gone).map_err(|source| Error::Write { path: gone, source })?;
    }
    Ok(())
}

/// The authority on its way out, if there is one.
pub(super) fn predecessor(out: &Path, cluster: &ClusterId) -> Result<Option<DevAuthority>, Error> {
    let path = out.join(PREDECESSOR);
    if !path.exists() {
        return Ok(None);
    }
    let (certificate, key) = (read(path)?, read(out.join(PREDECESSOR_KEY))?);
    Ok(Some(DevAuthority::from_pem(
        cluster.name(),
        &certificate,
        &key,
    )?))
}

pub(super) fn read(path: PathBuf) -> Result<String, Error> {
    std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
}

#[cfg(test)]
mod tests {
    use raft_transport_quic::NodeCertificates;

    use super::super::{make, renew, revoke};
    use super::*;

    fn blocks(path: PathBuf) -> usize {
        read(path).unwrap().matches("BEGIN CERTIFICATE").count()
    }

    fn certificates(out: &Path, node: u64) -> NodeCertificates {
        let [certificate, key] = ["pem", "key"].map(|kind| out.join(format!("node-{node}.{kind}")));
        NodeCertificates::load_files(out.join(AUTHORITY), certificate, key).unwrap()
    }

    #[test]
    fn an_authority_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let (out, cluster) = (directory.path(), "example".parse().unwrap());

        begin(out, &cluster).unwrap();
        let refusal = begin(out, &cluster).unwrap_err().to_string();

        assert!(refusal.contains("--successor"), "{refusal}");
        make(out, &cluster, &[1]).unwrap();
        assert_eq!(blocks(out.join(AUTHORITY)), 1);
    }

    #[test]
    fn a_successor_signs_beside_its_predecessor_until_that_retires() {
        let directory = tempfile::tempdir().unwrap();
        let (out, cluster) = (directory.path(), "example".parse().unwrap());
        make(out, &cluster, &[1, 2]).unwrap();
        let before = certificates(out, 1).serial();

        succeed(out, &cluster).unwrap();
        assert_eq!(blocks(out.join(AUTHORITY)), 2);
        assert!(succeed(out, &cluster).is_err(), "one after the other");
        renew(out, &cluster, &[1]).unwrap();
        assert_ne!(certificates(out, 1).serial(), before);

        // One of each authority.
        let both = ["node-1.pem", "node-2.pem"].map(|name| out.join(name));
        revoke::revoke(out, &cluster, &both).unwrap();
        let lists = read(out.join(REVOKED)).unwrap();
        assert_eq!(lists.matches("BEGIN X509 CRL").count(), 2);

        retire(out, &cluster).unwrap();
        assert_eq!(blocks(out.join(AUTHORITY)), 1);
        let lists = read(out.join(REVOKED)).unwrap();
        assert_eq!(lists.matches("BEGIN X509 CRL").count(), 1);
        assert!(retire(out, &cluster).is_err(), "there is none any more");
        make(out, &cluster, &[3]).unwrap();
    }
}
