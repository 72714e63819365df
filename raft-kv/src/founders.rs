//! The members a cluster began with, remembered in the data directory.
//!
//! Until a membership change is in the log, every start takes the voters from
//! the configuration. A configuration that was edited meanwhile would give this
//! node another idea of what a majority is than its peers have: two leaders, and
//! lost writes. So the first start writes down the node numbers, one a line, and
//! later starts refuse any others. Names and addresses may change.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use raft_core::{LogIndex, LogStore};

use crate::config::Config;
use crate::server::ServerError;

const FILE: &str = "founding-members";

type Ids = BTreeSet<u64>;

/// Compares the configured members with those of the first start, or records
/// them if this is the first start.
///
/// # Errors
///
/// Other members, a lost record, or a directory that cannot be read or written.
pub(crate) async fn check(config: &Config, log: &dyn LogStore) -> Result<(), ServerError> {
    let path = config.data_dir.join(FILE);
    let failed = |source| ServerError::DataDir {
        path: path.clone(),
        source,
    };
    let given: Ids = config
        .initial_cluster
        .iter()
        .map(|member| member.id)
        .collect();
    match fs::read_to_string(&path) {
        Ok(text) => match parse(&text) {
            Some(found) if found == given => Ok(()),
            Some(found) => Err(ServerError::OtherFounders {
                path: path.clone(),
                found: list(&found),
                given: list(&given),
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

/// Nothing for a text that is not what [`record`] writes.
fn parse(text: &str) -> Option<Ids> {
    let ids: Ids = text
        .strip_suffix("end\n")?
        .lines()
        .map(|line| line.parse().ok())
        .collect::<Option<_>>()?;
    (!ids.is_empty()).then_some(ids)
}

/// Durable when it returns, and never there in part.
fn record(data_dir: &Path, ids: &Ids) -> io::Result<()> {
    let new = data_dir.join(format!("{FILE}.new"));
    let mut text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    text.push_str("end\n");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, data_dir.join(FILE))?;
    File::open(data_dir)?.sync_all()
}

fn list(ids: &Ids) -> String {
    ids.iter()
        .map(u64::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let ids = Ids::from([1, 2, 30]);
        record(directory.path(), &ids).unwrap();

        let text = fs::read_to_string(directory.path().join(FILE)).unwrap();

        assert_eq!(parse(&text), Some(ids));
    }

    #[test]
    fn a_damaged_record_names_nobody() {
        for text in ["", "1\n2\n", "1\nx\nend\n", "end\n"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
