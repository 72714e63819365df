//! How a node became a member, remembered in the data directory.
//!
//! Until a membership change is in the log, every start of a founding node takes
//! the voters from the configuration. A configuration that was edited meanwhile
//! would give this node another idea of what a majority is than its peers have:
//! two leaders, and lost writes. So the first start writes down the node numbers,
//! one a line, and later starts refuse any others. Names and addresses may
//! change. A node that joined writes down that, and never takes voters from its
//! configuration.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use raft_core::{LogIndex, LogStore};

use crate::config::{ClusterState, Config};
use crate::server::ServerError;

const FILE: &str = "founding-members";

/// How a node became a member.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Origin {
    /// With these, as one of them.
    Founded(BTreeSet<u64>),
    /// By joining.
    Joined,
}

impl Origin {
    fn of(config: &Config) -> Self {
        match config.initial_cluster_state {
            ClusterState::Existing => Self::Joined,
            ClusterState::New => {
                Self::Founded(config.initial_cluster.iter().map(|m| m.id).collect())
            }
        }
    }

    /// Nothing for a text that is not what [`Origin::text`] gives.
    fn parse(text: &str) -> Option<Self> {
        let lines = text.strip_suffix("end\n")?;
        if lines == "joined\n" {
            return Some(Self::Joined);
        }
        let ids: BTreeSet<u64> = lines
            .lines()
            .map(|line| line.parse().ok())
            .collect::<Option<_>>()?;
        (!ids.is_empty()).then_some(Self::Founded(ids))
    }

    fn text(&self) -> String {
        let mut text = match self {
            Self::Joined => "joined\n".to_owned(),
            Self::Founded(ids) => ids.iter().map(|id| format!("{id}\n")).collect(),
        };
        text.push_str("end\n");
        text
    }

    /// In the words of an error.
    fn words(&self) -> String {
        match self {
            Self::Joined => "a cluster that existed".to_owned(),
            Self::Founded(ids) => {
                let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
                ids.join(", ")
            }
        }
    }
}

/// Compares how the configuration makes this node a member with how its first
/// start did, or records it if this is the first start.
///
/// # Errors
///
/// Another origin, a lost record, or a directory that cannot be read or written.
pub(crate) async fn check(config: &Config, log: &dyn LogStore) -> Result<(), ServerError> {
    let path = config.data_dir.join(FILE);
    let failed = |source| ServerError::DataDir {
        path: path.clone(),
        source,
    };
    let given = Origin::of(config);
    match fs::read_to_string(&path) {
        Ok(text) => match Origin::parse(&text) {
            Some(found) if found == given => Ok(()),
            Some(found) => Err(ServerError::OtherFounders {
                path: path.clone(),
                found: found.words(),
                given: given.words(),
            }),
            None => Err(ServerError::FoundersLost { path: path.clone() }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let bounds = log
                .bounds()
                .await
                .map_err(|e| ServerError::Log(Box::new(e)))?;
            if bounds.last.index > LogIndex::ZERO {
                return Err(ServerError::FoundersLost { path: path.clone() });
            }
            record(&config.data_dir, &given).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Durable when it returns, and never there in part.
fn record(data_dir: &Path, origin: &Origin) -> io::Result<()> {
    let new = data_dir.join(format!("{FILE}.new"));
    let mut file = File::create(&new)?;
    file.write_all(origin.text().as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, data_dir.join(FILE))?;
    File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        for origin in [Origin::Founded([1, 2, 30].into()), Origin::Joined] {
            record(directory.path(), &origin).unwrap();

            let text = fs::read_to_string(directory.path().join(FILE)).unwrap();

            assert_eq!(Origin::parse(&text), Some(origin));
        }
    }

    #[test]
    fn a_damaged_record_names_nobody() {
        for text in [
            "",
            "1\n2\n",
            "1\nx\nend\n",
            "end\n",
            "joined\n",
            "joined\n1\nend\n",
        ] {
            assert_eq!(Origin::parse(text), None, "{text:?}");
        }
    }
}
