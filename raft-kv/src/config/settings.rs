//! The keys of the configuration, once for flags, environment and file.
//!
//! Everything is optional here, so that one source can be laid over another.
//! Defaults and checks are the affair of [`Config`](super::Config).

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::value::{ClusterId, ClusterState, HumanDuration, InitialMember, LogFormat};

/// Every key, given or not.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Number of this node, its own in the cluster for good
    #[arg(long, env = "RAFT_KV_NODE_ID", value_name = "N")]
    pub node_id: Option<u64>,
    /// Name of this node, for people
    #[arg(long, env = "RAFT_KV_NAME")]
    pub name: Option<String>,
    /// Number or name of the cluster
    #[arg(long, env = "RAFT_KV_CLUSTER", value_name = "NUMBER|NAME")]
    pub cluster: Option<ClusterId>,
    /// Where the node keeps what must survive a restart
    #[arg(long, env = "RAFT_KV_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where clients reach this node
    #[arg(long, env = "RAFT_KV_LISTEN_CLIENT", value_name = "IP:PORT")]
    pub listen_client: Option<SocketAddr>,
    /// The URL by which clients are told to reach it
    #[arg(long, env = "RAFT_KV_ADVERTISE_CLIENT", value_name = "URL")]
    pub advertise_client: Option<String>,
    /// Where the other nodes reach this one (UDP)
    #[arg(long, env = "RAFT_KV_LISTEN_PEER", value_name = "IP:PORT")]
    pub listen_peer: Option<SocketAddr>,
    /// The address by which the other nodes are told to reach it
    #[arg(long, env = "RAFT_KV_ADVERTISE_PEER", value_name = "HOST:PORT")]
    pub advertise_peer: Option<String>,
    /// A node that the cluster begins with; once per node, or separated by `;`
    #[arg(
        long,
        env = "RAFT_KV_INITIAL_CLUSTER",
        value_delimiter = ';',
        value_name = "id=N,name=NAME,peer=HOST:PORT,client=URL"
    )]
    #[serde(default)]
    pub initial_cluster: Vec<InitialMember>,
    /// Whether the cluster begins with this node or the node joins one [default: new]
    #[arg(long, env = "RAFT_KV_INITIAL_CLUSTER_STATE", value_enum)]
    pub initial_cluster_state: Option<ClusterState>,
    /// Proof of identity towards the other nodes.
    #[command(flatten)]
    #[serde(default)]
    pub tls: TlsSettings,
    /// How often a leader is heard at least [default: 50ms]
    #[arg(long, env = "RAFT_KV_HEARTBEAT_INTERVAL", value_name = "DURATION")]
    pub heartbeat_interval: Option<HumanDuration>,
    /// Shortest time without a leader after which a node campaigns [default: 300ms]
    #[arg(long, env = "RAFT_KV_ELECTION_TIMEOUT_MIN", value_name = "DURATION")]
    pub election_timeout_min: Option<HumanDuration>,
    /// Longest time without a leader after which a node campaigns [default: 500ms]
    #[arg(long, env = "RAFT_KV_ELECTION_TIMEOUT_MAX", value_name = "DURATION")]
    pub election_timeout_max: Option<HumanDuration>,
    /// How long a request may take, one election not counted [default: 5s]
    #[arg(long, env = "RAFT_KV_REQUEST_TIMEOUT", value_name = "DURATION")]
    pub request_timeout: Option<HumanDuration>,
    /// Largest request, in bytes [default: 1572864]
    #[arg(long, env = "RAFT_KV_MAX_REQUEST_BYTES", value_name = "N")]
    pub max_request_bytes: Option<usize>,
    /// Most operations in one transaction [default: 128]
    #[arg(long, env = "RAFT_KV_MAX_TXN_OPS", value_name = "N")]
    pub max_txn_ops: Option<usize>,
    /// Most bytes a second that the node sends in snapshots [default: no limit]
    #[arg(long, env = "RAFT_KV_SNAPSHOT_BYTES_PER_SECOND", value_name = "N")]
    pub snapshot_bytes_per_second: Option<u64>,
    /// What a snapshot takes of what path and nodes carry, up to 1: as much as it can
    /// [default: 0.25]
    #[arg(long, env = "RAFT_KV_SNAPSHOT_SHARE", value_name = "SHARE")]
    pub snapshot_share: Option<f64>,
    /// How logs are written [default: text]
    #[arg(long, env = "RAFT_KV_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// What is logged: a level, or a filter [default: info]
    #[arg(long, env = "RAFT_KV_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// The keys of the table `tls`.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// Certificates of the authorities that sign the nodes (PEM)
    #[arg(
        long = "tls-ca",
        id = "tls_ca",
        env = "RAFT_KV_TLS_CA",
        value_name = "FILE"
    )]
    pub ca: Option<PathBuf>,
    /// Certificate chain of this node (PEM)
    #[arg(
        long = "tls-certificate",
        id = "tls_certificate",
        env = "RAFT_KV_TLS_CERTIFICATE",
        value_name = "FILE"
    )]
    pub certificate: Option<PathBuf>,
    /// Private key of this node (PEM)
    #[arg(
        long = "tls-key",
        id = "tls_key",
        env = "RAFT_KV_TLS_KEY",
        value_name = "FILE"
    )]
    pub key: Option<PathBuf>,
    /// Lists of revoked certificates (CRL, PEM) [default: none is revoked]
    #[arg(
        long = "tls-revoked",
        id = "tls_revoked",
        env = "RAFT_KV_TLS_REVOKED",
        value_name = "FILE"
    )]
    pub revoked: Option<PathBuf>,
}

impl Settings {
    /// The keys of the top level.
    pub(super) const KEYS: [&str; 21] = [
        "node_id",
        "name",
        "cluster",
        "data_dir",
        "listen_client",
        "advertise_client",
        "listen_peer",
        "advertise_peer",
        "initial_cluster",
        "initial_cluster_state",
        "tls",
        "heartbeat_interval",
        "election_timeout_min",
        "election_timeout_max",
        "request_timeout",
        "max_request_bytes",
        "max_txn_ops",
        "snapshot_bytes_per_second",
        "snapshot_share",
        "log_format",
        "log_level",
    ];

    /// These settings, and where they are silent those of `below`.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            node_id: self.node_id.or(below.node_id),
            name: self.name.or(below.name),
            cluster: self.cluster.or(below.cluster),
            data_dir: self.data_dir.or(below.data_dir),
            listen_client: self.listen_client.or(below.listen_client),
            advertise_client: self.advertise_client.or(below.advertise_client),
            listen_peer: self.listen_peer.or(below.listen_peer),
            advertise_peer: self.advertise_peer.or(below.advertise_peer),
            initial_cluster: if self.initial_cluster.is_empty() {
                below.initial_cluster
            } else {
                self.initial_cluster
            },
            initial_cluster_state: self.initial_cluster_state.or(below.initial_cluster_state),
            tls: self.tls.over(below.tls),
            heartbeat_interval: self.heartbeat_interval.or(below.heartbeat_interval),
            election_timeout_min: self.election_timeout_min.or(below.election_timeout_min),
            election_timeout_max: self.election_timeout_max.or(below.election_timeout_max),
            request_timeout: self.request_timeout.or(below.request_timeout),
            max_request_bytes: self.max_request_bytes.or(below.max_request_bytes),
            max_txn_ops: self.max_txn_ops.or(below.max_txn_ops),
            snapshot_bytes_per_second: self
                .snapshot_bytes_per_second
                .or(below.snapshot_bytes_per_second),
            snapshot_share: self.snapshot_share.or(below.snapshot_share),
            log_format: self.log_format.or(below.log_format),
            log_level: self.log_level.or(below.log_level),
        }
    }
}

impl TlsSettings {
    /// The keys of the table.
    pub(super) const KEYS: [&str; 4] = ["ca", "certificate", "key", "revoked"];

    fn over(self, below: Self) -> Self {
        Self {
            ca: self.ca.or(below.ca),
            certificate: self.certificate.or(below.certificate),
            key: self.key.or(below.key),
            revoked: self.revoked.or(below.revoked),
        }
    }
}

/// The keys of an entry of `initial_cluster`.
pub(super) const MEMBER_KEYS: [&str; 4] = ["id", "name", "peer", "client"];

/// The flag of a key, without the dashes before it.
pub(super) fn flag(key: &str) -> String {
    key.replace(['_', '.'], "-")
}

/// The environment variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("RAFT_KV_{}", key.replace('.', "_").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else a valid key would be refused, or a flag be named that does not exist.
    #[test]
    fn keys_flags_and_variables_are_the_same_list() {
        let command = <Settings as clap::Args>::augment_args(clap::Command::new("test"));
        let named = |arg: &clap::Arg| {
            let variable = arg.get_env().and_then(|v| v.to_str()).unwrap_or_default();
            (
                arg.get_long().unwrap_or_default().to_owned(),
                variable.to_owned(),
            )
        };
        let mut offered: Vec<_> = command.get_arguments().map(named).collect();
        offered.sort();

        let top = Settings::KEYS.iter().filter(|&&key| key != "tls");
        let tls = TlsSettings::KEYS.iter().map(|key| format!("tls.{key}"));
        let mut expected: Vec<_> = top
            .map(|&key| key.to_owned())
            .chain(tls)
            .map(|key| (flag(&key), variable(&key)))
            .collect();
        expected.sort();

        assert_eq!(offered, expected);
    }
}
