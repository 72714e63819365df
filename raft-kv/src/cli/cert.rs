//! `raft-kv cert`: an authority of one's own, certificates of the nodes, and the
//! list of those that are not good any more. For development.
//!
//! The authority's key stays in the directory, so that nodes that join later get
//! certificates from the same authority.

mod authority;
mod revoke;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use raft_core::NodeId;
use raft_kv::config::ClusterId;
use raft_transport_quic::{CertificateError, DevAuthority, NodeCertificates};

const AUTHORITY: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";
const REVOKED: &str = "revoked.pem";

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make an authority, its successor, or let its predecessor go
    Authority(authority::Arguments),
    /// Make certificates of nodes, and an authority unless there is one
    Node(NodeArguments),
    /// Declare certificates of nodes not good any more
    Revoke(revoke::Arguments),
}

/// Where the files are, and whose.
#[derive(Debug, clap::Args)]
struct Place {
    /// Directory of ca.pem, ca.key, node-N.pem, node-N.key and revoked.pem
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number or name of the cluster, as in its configuration
    #[arg(long, value_name = "NUMBER|NAME")]
    cluster: ClusterId,
}

#[derive(Debug, clap::Args)]
struct NodeArguments {
    #[command(flatten)]
    place: Place,
    /// Numbers of the nodes
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        required = true,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    nodes: Vec<u64>,
    /// Replace certificates that are there
    #[arg(long)]
    renew: bool,
}

/// Why certificates were not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There are certificates already.
    #[error("{} is there already; choose another directory, or give --renew for another certificate of the node", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The authority that is there cannot be used.
    #[error(
        "cannot read {}; certificates for more nodes need the ca.pem and ca.key of the first ones",
        path.display()
    )]
    Authority {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The authority is another cluster's.
    #[error(
        "{} is of cluster {found}; give --cluster {found}, or choose another directory",
        path.display()
    )]
    OtherCluster {
        /// A certificate that is there.
        path: PathBuf,
        /// The cluster it names.
        found: String,
    },
    /// An authority is there, or one on its way out.
    #[error("{} is there already; {hint}", path.display())]
    AuthorityExists {
        /// The file.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// There is no authority on its way out.
    #[error("{} is not there, no authority is on its way out", path.display())]
    NoPredecessor {
        /// The file.
        path: PathBuf,
    },
    /// A file to read cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// They cannot be made.
    #[error(transparent)]
    Make(#[from] CertificateError),
}

/// Does what is asked for, and says where the files are.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    match &arguments.verb {
        Verb::Authority(arguments) => authority::run(arguments),
        Verb::Revoke(arguments) => revoke::run(arguments),
        Verb::Node(nodes) => {
            let Place { out, cluster } = &nodes.place;
            if nodes.renew {
                renew(out, cluster, &nodes.nodes)?;
            } else {
                make(out, cluster, &nodes.nodes)?;
            }
            println!("certificates of cluster {cluster} are in {}", out.display());
            Ok(())
        }
    }
}

/// Writes for each node `node-N.pem` and `node-N.key` into `out`, signed by the
/// authority that is there, or by a new one: `ca.pem` and `ca.key`.
pub(super) fn make(out: &Path, cluster: &ClusterId, nodes: &[u64]) -> Result<(), Error> {
    create(out)?;
    let is_new = !out.join(AUTHORITY).exists();
    let authority = if is_new {
        DevAuthority::new(cluster.name())?
    } else {
        load(out, cluster)?
    };
    issue(&authority, out, nodes, write)?;
    if is_new {
        save(&authority, out)?;
    }
    Ok(())
}

/// Puts other certificates in the place of those of the nodes.
fn renew(out: &Path, cluster: &ClusterId, nodes: &[u64]) -> Result<(), Error> {
    issue(&load(out, cluster)?, out, nodes, replace)
}

type Put = fn(PathBuf, &str, u32) -> Result<(), Error>;

fn issue(authority: &DevAuthority, out: &Path, nodes: &[u64], put: Put) -> Result<(), Error> {
    for &node in nodes {
        let pem = authority.node(NodeId::new(node))?;
        put(
            out.join(format!("node-{node}.pem")),
            &pem.certificate,
            0o644,
        )?;
        put(out.join(format!("node-{node}.key")), &pem.key, 0o600)?;
    }
    Ok(())
}

/// Writes a new authority's files.
fn save(authority: &DevAuthority, out: &Path) -> Result<(), Error> {
    write(out.join(AUTHORITY_KEY), authority.ca_key_pem(), 0o600)?;
    // Last: where it is, the rest is too.
    write(out.join(AUTHORITY), authority.ca_pem(), 0o644)
}

fn create(out: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(out).map_err(|source| Error::Write {
        path: out.to_owned(),
        source,
    })
}

/// The authority of `out`, made by an earlier call.
fn load(out: &Path, cluster: &ClusterId) -> Result<DevAuthority, Error> {
    check_cluster(out, cluster)?;
    let read = |name| {
        let path = out.join(name);
        std::fs::read_to_string(&path).map_err(|source| Error::Authority { path, source })
    };
    let (certificate, key) = (read(AUTHORITY)?, read(AUTHORITY_KEY)?);
    Ok(DevAuthority::from_pem(cluster.name(), &certificate, &key)?)
}

/// The nodes that have certificates already tell whose the directory is.
fn check_cluster(out: &Path, cluster: &ClusterId) -> Result<(), Error> {
    let listed = std::fs::read_dir(out).map_err(|source| Error::Authority {
        path: out.to_owned(),
        source,
    })?;
    for path in listed.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(node) = path
            .file_stem()
            .filter(|_| path.extension() == Some("pem".as_ref()))
        else {
            continue;
        };
        let key = path.with_file_name(node).with_extension("key");
        let identity = NodeCertificates::load_files(out.join(AUTHORITY), &path, key)
            .and_then(|certificates| certificates.identity());
        match identity {
            Ok(identity) if identity.cluster() != cluster.name() => {
                let found = identity.cluster().to_owned();
                return Err(Error::OtherCluster { path, found });
            }
            // The authority itself, or what somebody else has put there.
            _ => {}
        }
    }
    Ok(())
}

/// Writes a new file. One that is there may be in use: it stays.
fn write(path: PathBuf, text: &str, mode: u32) -> Result<(), Error> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written = options
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path },
        _ => Error::Write { path, source },
    })
}

/// Writes a file in the place of another, at no moment half.
fn replace(path: PathBuf, text: &str, mode: u32) -> Result<(), Error> {
    let mut beside = path.clone().into_os_string();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // Left by a call that was interrupted.
    let _ = std::fs::remove_file(&beside);
    write(beside.clone(), text, mode)?;
    std::fs::rename(&beside, &path).map_err(|source| Error::Write { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: PathBuf) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_node_that_joins_later_gets_a_certificate_of_the_same_authority() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path();
        let cluster = "example".parse().unwrap();
        make(out, &cluster, &[1, 2]).unwrap();
        let authority = text(out.join("ca.pem"));

        make(out, &cluster, &[3]).unwrap();

        assert_eq!(text(out.join("ca.pem")), authority);
        let files = ["ca.pem", "node-3.pem", "node-3.key"].map(|name| out.join(name));
        let [ca, certificate, key] = files;
        let joiner = NodeCertificates::load_files(ca, certificate, key).unwrap();
        assert_eq!(joiner.identity().unwrap().node(), NodeId::new(3));
    }

    #[test]
    fn certificates_of_a_node_that_has_some_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let cluster = "example".parse().unwrap();
        make(directory.path(), &cluster, &[1]).unwrap();

        let refusal = make(directory.path(), &cluster, &[1]).unwrap_err();

        assert!(refusal.to_string().contains("node-1.pem is there already"));
    }

    #[test]
    fn an_authority_of_another_cluster_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path(), &"one".parse().unwrap(), &[1]).unwrap();

        let refusal = make(directory.path(), &"two".parse().unwrap(), &[2]).unwrap_err();

        assert!(
            refusal.to_string().contains("is of cluster one"),
            "{refusal}"
        );
    }

    #[test]
    fn an_authority_without_its_key_says_what_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let cluster = "example".parse().unwrap();
        make(directory.path(), &cluster, &[1]).unwrap();
        std::fs::remove_file(directory.path().join("ca.key")).unwrap();

        let refusal = make(directory.path(), &cluster, &[2]).unwrap_err();

        assert!(
            refusal
                .to_string()
                .contains("ca.key; certificates for more nodes need")
        );
    }
}
