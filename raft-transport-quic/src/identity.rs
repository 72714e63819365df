//! Who a certificate speaks for: `raft://<cluster>/<node>`, in a URI name.
//!
//! Raft knows no host names: a node is the same node behind any address. So a
//! certificate names the cluster and the node, and nothing else counts.

use std::fmt;
use std::str::FromStr;

use raft_core::NodeId;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::IdentityError;

const SCHEME: &str = "raft://";
const MAX_CLUSTER_NAME: usize = 64;

/// A node of a cluster.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Identity {
    cluster: String,
    node: NodeId,
}

impl Identity {
    /// `node` of `cluster`.
    ///
    /// # Errors
    ///
    /// A cluster name that cannot stand in a certificate.
    pub fn new(cluster: impl Into<String>, node: NodeId) -> Result<Self, IdentityError> {
        let cluster = cluster.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=MAX_CLUSTER_NAME).contains(&cluster.len()) || !cluster.chars().all(allowed) {
            return Err(IdentityError::ClusterName { cluster });
        }
        Ok(Self { cluster, node })
    }

    /// Whom a certificate names.
    ///
    /// # Errors
    ///
    /// When it cannot be parsed or does not have exactly one `raft://` name.
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let unparsable = |error: &dyn fmt::Display| IdentityError::Unparsable {
            reason: error.to_string(),
        };
        let (_, certificate) = X509Certificate::from_der(der).map_err(|e| unparsable(&e))?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|e| unparsable(&e))?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::URI(uri) if uri.starts_with(SCHEME) => Some(*uri),
                _ => None,
            })
            .collect();
        match uris[..] {
            [uri] => uri.parse(),
            _ => Err(IdentityError::Count { found: uris.len() }),
        }
    }

    /// The cluster.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The node.
    pub const fn node(&self) -> NodeId {
        self.node
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.cluster, self.node.get())
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        let malformed = || IdentityError::Form { uri: uri.into() };
        let (cluster, node) = uri
            .strip_prefix(SCHEME)
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(malformed)?;
        let number: u64 = node.parse().map_err(|_| malformed())?;
        // One spelling per node: no sign, no leading zeros.
        if number.to_string() != node {
            return Err(malformed());
        }
        Self::new(cluster, NodeId::new(number))
    }
}
