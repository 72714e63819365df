//! The verbs of the command line, one file each.

pub(crate) mod cert;
pub(crate) mod dev;
pub(crate) mod log;
pub(crate) mod server;

/// A replicated key-value server that speaks the etcd v3 API
#[derive(Debug, clap::Parser)]
#[command(name = "raft-kv", version)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Run one node
    Server(Box<server::Arguments>),
    /// Run a cluster of three nodes on this machine, to try things out
    Dev(dev::Arguments),
    /// Look at the log of a node that does not run
    Log(log::Arguments),
    /// Make certificates for a cluster that is not for production
    Cert(cert::Arguments),
}
