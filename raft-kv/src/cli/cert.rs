//! `raft-kv cert`: certificates of a throwaway authority, for development.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use raft_core::NodeId;
use raft_kv::config::ClusterId;
use raft_transport_quic::{CertificateError, DevAuthority};

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to put ca.pem, node-N.pem and node-N.key
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number or name of the cluster, as in its configuration
    #[arg(long, value_name = "NUMBER|NAME")]
    cluster: ClusterId,
    /// Numbers of the nodes
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        required = true,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    nodes: Vec<u64>,
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
    #[error("{} is there already; choose another directory, or remove it first", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// They cannot be made.
    #[error(transparent)]
    Make(#[from] CertificateError),
}

/// Makes them.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    make(&arguments.out, &arguments.cluster, &arguments.nodes)?;
    println!(
        "certificates of cluster {} are in {}",
        arguments.cluster,
        arguments.out.display()
    );
    Ok(())
}

/// Writes `ca.pem` and for each node `node-N.pem` and `node-N.key` into `out`.
pub(super) fn make(out: &Path, cluster: &ClusterId, nodes: &[u64]) -> Result<(), Error> {
    std::fs::create_dir_all(out).map_err(|source| Error::Write {
        path: out.to_owned(),
        source,
    })?;
    let authority = DevAuthority::new(cluster.name())?;
    for &node in nodes {
        let pem = authority.node(NodeId::new(node))?;
        write(
            out.join(format!("node-{node}.pem")),
            &pem.certificate,
            0o644,
        )?;
        write(out.join(format!("node-{node}.key")), &pem.key, 0o600)?;
    }
    write(out.join("ca.pem"), authority.ca_pem(), 0o644)
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
