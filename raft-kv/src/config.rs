//! How one node is set up: where it listens, who it is, how patient it is.
//!
//! A setting comes from a flag, else from the environment, else from one TOML
//! file, else from its default. `settings.rs` names the keys once for all three
//! sources, `file.rs` reads the file, `value.rs` parses single values. What
//! comes out is a [`Config`], which is checked: it can be run as it is.

mod file;
mod settings;
mod value;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use raft_core::NodeId;

pub use file::read as read_file;
pub use settings::{Settings, TlsSettings};
pub use value::{ClusterId, ClusterState, HumanDuration, InitialMember, InvalidValue, LogFormat};

/// etcd's limit of a request, 1.5 MiB.
const DEFAULT_MAX_REQUEST_BYTES: usize = 3 << 19;
/// The largest `max_request_bytes`: half of what the transport takes in one frame.
const MAX_REQUEST_BYTES_LIMIT: usize = 8 << 20;
/// etcd's limit of a transaction.
const DEFAULT_MAX_TXN_OPS: usize = 128;
/// The transport's default, too.
const DEFAULT_SNAPSHOT_SHARE: f64 = 0.25;
const MIB: u64 = 1 << 20;

/// The checked configuration of one node.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// Its name, for people.
    pub name: String,
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Where it keeps what must survive a restart.
    pub data_dir: PathBuf,
    /// Where clients reach it.
    pub listen_client: SocketAddr,
    /// The URL by which clients are told to reach it.
    pub advertise_client: String,
    /// Where peers reach it (UDP).
    pub listen_peer: SocketAddr,
    /// The `host:port` by which peers are told to reach it.
    pub advertise_peer: String,
    /// The nodes the cluster begins with, this one included.
    pub initial_cluster: Vec<InitialMember>,
    /// Whether the node starts that cluster or joins it.
    pub initial_cluster_state: ClusterState,
    /// Proof of identity towards peers.
    pub tls: TlsFiles,
    /// How often a leader is heard at least.
    pub heartbeat_interval: Duration,
    /// The shortest time without a leader after which a follower campaigns.
    pub election_timeout_min: Duration,
    /// The longest.
    pub election_timeout_max: Duration,
    /// How long a request may take, one election not counted.
    pub request_timeout: Duration,
    /// Largest request.
    pub max_request_bytes: usize,
    /// Most operations in one transaction.
    pub max_txn_ops: usize,
    /// Most bytes a second that the node sends in snapshots; nothing for no limit.
    pub snapshot_bytes_per_second: Option<u64>,
    /// What a snapshot takes of what path and nodes carry, above 0 and up to 1.
    pub snapshot_share: f64,
    /// How logs are written.
    pub log_format: LogFormat,
    /// What is logged: a level or a filter.
    pub log_level: String,
}

/// The files that prove who a node is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    /// Certificates of the authorities that sign the cluster's nodes.
    pub ca: PathBuf,
    /// The node's certificate chain.
    pub certificate: PathBuf,
    /// The node's private key.
    pub key: PathBuf,
    /// Lists of certificates that are not good any more.
    pub revoked: Option<PathBuf>,
}

impl Config {
    /// Reads `file`, if any, and lays `settings` over it.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or understood, a setting that is missing or
    /// cannot work. The text says which, where, and what to do.
    pub fn load(settings: Settings, file: Option<&Path>) -> Result<Self, ConfigError> {
        let settings = match file {
            Some(path) => settings.over(file::read(path)?),
            None => settings,
        };
        Self::from_settings(settings)
    }

    /// Fills in defaults and checks.
    ///
    /// # Errors
    ///
    /// As for [`Config::load`].
    pub fn from_settings(settings: Settings) -> Result<Self, ConfigError> {
        let node_id = required("node_id", settings.node_id)?;
        let name = settings.name.unwrap_or_else(|| format!("node-{node_id}"));
        let listen_client = required("listen_client", settings.listen_client)?;
        let listen_peer = required("listen_peer", settings.listen_peer)?;
        let own = settings.initial_cluster.iter().find(|m| m.id == node_id);
        let advertise_client = match (settings.advertise_client, own) {
            (Some(url), _) => url,
            (None, Some(own)) => own.client.clone(),
            (None, None) => format!("http://{}", reachable("client", listen_client)?),
        };
        let advertise_peer = match (settings.advertise_peer, own) {
            (Some(address), _) => address,
            (None, Some(own)) => own.peer.clone(),
            (None, None) => reachable("peer", listen_peer)?.to_string(),
        };
        let initial_cluster = if settings.initial_cluster.is_empty() {
            vec![InitialMember {
                id: node_id,
                name: name.clone(),
                peer: advertise_peer.clone(),
                client: advertise_client.clone(),
            }]
        } else {
            settings.initial_cluster
        };
        let config = Self {
            node: NodeId::new(node_id),
            name,
            cluster: required("cluster", settings.cluster)?,
            data_dir: required("data_dir", settings.data_dir)?,
            listen_client,
            advertise_client,
            listen_peer,
            advertise_peer,
            initial_cluster,
            initial_cluster_state: settings.initial_cluster_state.unwrap_or_default(),
            tls: TlsFiles {
                ca: required("tls.ca", settings.tls.ca)?,
                certificate: required("tls.certificate", settings.tls.certificate)?,
                key: required("tls.key", settings.tls.key)?,
                revoked: settings.tls.revoked,
            },
            heartbeat_interval: duration(settings.heartbeat_interval, 50),
            election_timeout_min: duration(settings.election_timeout_min, 300),
            election_timeout_max: duration(settings.election_timeout_max, 500),
            request_timeout: duration(settings.request_timeout, 5000),
            max_request_bytes: settings
                .max_request_bytes
                .unwrap_or(DEFAULT_MAX_REQUEST_BYTES),
            max_txn_ops: settings.max_txn_ops.unwrap_or(DEFAULT_MAX_TXN_OPS),
            snapshot_bytes_per_second: settings.snapshot_bytes_per_second,
            snapshot_share: settings.snapshot_share.unwrap_or(DEFAULT_SNAPSHOT_SHARE),
            log_format: settings.log_format.unwrap_or_default(),
            log_level: settings.log_level.unwrap_or_else(|| "info".to_owned()),
        };
        config.check()?;
        Ok(config)
    }

    /// How long a request may take in all: a change of leader fits in.
    pub fn request_deadline(&self) -> Duration {
        self.request_timeout + self.election_timeout_max
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.node.get() == 0 {
            return Err(invalid("node_id", "must be 1 or more"));
        }
        if self.cluster.number() == 0 {
            return Err(invalid("cluster", "must not be 0"));
        }
        let limits = [
            ("request_timeout", self.request_timeout.is_zero()),
            ("max_request_bytes", self.max_request_bytes == 0),
            ("max_txn_ops", self.max_txn_ops == 0),
        ];
        if let Some((key, _)) = limits.into_iter().find(|&(_, is_zero)| is_zero) {
            return Err(invalid(key, "must not be 0"));
        }
        if self
            .snapshot_bytes_per_second
            .is_some_and(|rate| rate < MIB)
        {
            let reason = format!("must not be below {MIB}: a snapshot would take too long");
            return Err(invalid("snapshot_bytes_per_second", reason));
        }
        if !(self.snapshot_share > 0.0 && self.snapshot_share <= 1.0) {
            return Err(invalid("snapshot_share", "must be above 0 and at most 1"));
        }
        if self.max_request_bytes > MAX_REQUEST_BYTES_LIMIT {
            let reason = format!(
                "must not be above {MAX_REQUEST_BYTES_LIMIT}: what peers send each other is bounded"
            );
            return Err(invalid("max_request_bytes", reason));
        }
        if !self.advertise_client.starts_with("http://")
            && !self.advertise_client.starts_with("https://")
        {
            let url = &self.advertise_client;
            return Err(invalid(
                "advertise_client",
                format!("{url:?} is no URL; write it as http://{url}"),
            ));
        }
        self.check_timing()?;
        self.check_cluster()
    }

    fn check_timing(&self) -> Result<(), ConfigError> {
        let mut raft = raft_core::Config::new(raft_core::ReplicaId::first(self.node.get()), 0);
        raft.heartbeat_interval = self.heartbeat_interval;
        raft.election_timeout_min = self.election_timeout_min;
        raft.election_timeout_max = self.election_timeout_max;
        raft.validate().map_err(ConfigError::Timing)
    }

    fn check_cluster(&self) -> Result<(), ConfigError> {
        let wrong = |reason: String| Err(invalid("initial_cluster", reason));
        let (mut ids, mut peers) = (BTreeSet::new(), BTreeSet::new());
        for member in &self.initial_cluster {
            if member.id == 0 {
                return wrong(format!("the id of {:?} must be 1 or more", member.name));
            }
            if !ids.insert(member.id) {
                return wrong(format!(
                    "id {} is there twice; give each node its own",
                    member.id
                ));
            }
            if !peers.insert(&member.peer) {
                return wrong(format!(
                    "peer {} is there twice; give each node its own",
                    member.peer
                ));
            }
        }
        let Some(own) = self
            .initial_cluster
            .iter()
            .find(|m| m.id == self.node.get())
        else {
            let id = self.node.get();
            return wrong(format!("node {id} is missing; add an entry with id = {id}"));
        };
        if self.initial_cluster_state == ClusterState::Existing && self.initial_cluster.len() < 2 {
            return wrong(
                "must name the members of the existing cluster beside this node".to_owned(),
            );
        }
        let pairs = [
            ("peer", &own.peer, "advertise_peer", &self.advertise_peer),
            (
                "client",
                &own.client,
                "advertise_client",
                &self.advertise_client,
            ),
        ];
        match pairs
            .into_iter()
            .find(|(_, listed, _, given)| listed != given)
        {
            Some((what, listed, key, given)) => wrong(format!(
                "{what} of node {} is {listed}, but {key} is {given}; leave {key} out or make them equal",
                own.id
            )),
            None => Ok(()),
        }
    }
}

/// Why a node cannot be configured this way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or a value has the wrong type.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A key that does not exist.
    #[error("{}:{line}: unknown key `{key}`; {hint}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key, with the table it lies in.
        key: String,
        /// The key that was perhaps meant, or all there are.
        hint: String,
    },
    /// A setting without a default was not given.
    #[error(
        "{key} is not set; give it in the file, as --{} or as {}",
        settings::flag(key),
        settings::variable(key)
    )]
    Missing {
        /// The setting.
        key: &'static str,
    },
    /// A setting that cannot work.
    #[error("{key}: {reason}")]
    Invalid {
        /// The setting.
        key: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// Timeouts that cannot work together.
    #[error(transparent)]
    Timing(raft_core::ConfigError),
}

fn required<T>(key: &'static str, value: Option<T>) -> Result<T, ConfigError> {
    value.ok_or(ConfigError::Missing { key })
}

fn invalid(key: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Invalid {
        key,
        reason: reason.into(),
    }
}

fn duration(given: Option<HumanDuration>, default_millis: u64) -> Duration {
    given.map_or(Duration::from_millis(default_millis), HumanDuration::get)
}

/// A listen address that others can use as it is.
fn reachable(who: &'static str, address: SocketAddr) -> Result<SocketAddr, ConfigError> {
    if address.ip().is_unspecified() || address.port() == 0 {
        let key = match who {
            "client" => "advertise_client",
            _ => "advertise_peer",
        };
        return Err(invalid(
            key,
            format!("must be set, because nobody can reach listen_{who} = {address} by that name"),
        ));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> Settings {
        file::parse(Path::new("node.toml"), toml).unwrap()
    }

    fn minimal() -> Settings {
        settings(
            r#"
            node_id = 1
            cluster = "example"
            data_dir = "data"
            listen_client = "127.0.0.1:2379"
            listen_peer = "127.0.0.1:2380"
            tls = { ca = "ca.pem", certificate = "node.pem", key = "node.key" }
            "#,
        )
    }

    fn refusal(settings: Settings) -> String {
        Config::from_settings(settings).unwrap_err().to_string()
    }

    #[test]
    fn a_node_without_initial_cluster_is_a_cluster_of_its_own() {
        let config = Config::from_settings(minimal()).unwrap();

        assert_eq!(config.initial_cluster.len(), 1);
        assert_eq!(config.initial_cluster[0].peer, "127.0.0.1:2380");
        assert_eq!(config.advertise_client, "http://127.0.0.1:2379");
    }

    #[test]
    fn what_is_given_wins_over_what_lies_below() {
        let mut above = settings("name = \"above\"");
        above.tls.key = Some("other.key".into());

        let config = Config::from_settings(above.over(minimal())).unwrap();

        assert_eq!(config.name, "above");
        assert_eq!(config.tls.key, PathBuf::from("other.key"));
        assert_eq!(config.tls.ca, PathBuf::from("ca.pem"));
    }

    #[test]
    fn a_missing_setting_is_named_in_all_its_forms() {
        let mut without = minimal();
        without.tls.ca = None;

        let text = refusal(without);

        assert_eq!(
            text,
            "tls.ca is not set; give it in the file, as --tls-ca or as RAFT_KV_TLS_CA"
        );
    }

    #[test]
    fn a_wildcard_address_must_be_advertised_by_name() {
        let wildcard = settings("listen_client = \"0.0.0.0:2379\"").over(minimal());

        assert!(refusal(wildcard).starts_with("advertise_client: must be set"));
    }

    #[test]
    fn a_cluster_list_without_this_node_is_refused() {
        let list =
            "[[initial_cluster]]\nid = 2\nname = \"b\"\npeer = \"b:1\"\nclient = \"http://b\"";

        let text = refusal(settings(list).over(minimal()));

        assert_eq!(
            text,
            "initial_cluster: node 1 is missing; add an entry with id = 1"
        );
    }

    #[test]
    fn an_advertised_address_that_contradicts_the_list_is_refused() {
        let list = "advertise_peer = \"a:2\"\n[[initial_cluster]]\nid = 1\nname = \"a\"\npeer = \"a:1\"\nclient = \"http://a\"";

        let text = refusal(settings(list).over(minimal()));

        assert!(
            text.contains("peer of node 1 is a:1, but advertise_peer is a:2"),
            "{text}"
        );
    }

    #[test]
    fn timeouts_that_would_make_elections_constant_are_refused() {
        let hurried = settings("election_timeout_min = \"60ms\"").over(minimal());

        assert!(refusal(hurried).contains("heartbeat_interval"));
    }

    #[test]
    fn the_example_file_is_a_valid_configuration() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/node.toml");

        let config = Config::load(Settings::default(), Some(&path)).unwrap();

        assert_eq!(config.initial_cluster.len(), 3);
        assert_eq!(config.cluster, "example".parse().unwrap());
    }
}
