//! Reads back what a load was acknowledged, on every member and in both ways.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail};
use raft_kv::proto::etcdserverpb::RangeRequest;
use raft_kv::proto::etcdserverpb::kv_client::KvClient;
use raft_kv::proto::mvccpb::KeyValue;

use super::{Members, PREFIX, channel};

/// The first key after those of the writers.
const PREFIX_END: &str = "load0";
/// Keys read back at once.
const PAGE: i64 = 1000;

/// What a load noted of one key.
struct Noted {
    value: String,
    /// The revision it was acknowledged with; nothing if it was not.
    revision: Option<i64>,
}

type Notes = BTreeMap<String, Noted>;

/// What the check of one member found.
#[derive(Debug, Default)]
struct Verified {
    found: u64,
    lost: u64,
    foreign: u64,
}

/// Compares every member with the notes of the load.
pub(crate) async fn verify(members: &Members, file: &Path) -> Result<()> {
    let notes = read_notes(file)?;
    for endpoint in &members.endpoints {
        for serializable in [false, true] {
            let verified = verify_member(endpoint, serializable, &notes)
                .await
                .with_context(|| format!("cannot read back from {endpoint}"))?;
            println!(
                "endpoint={endpoint} reads={} found={} lost={} foreign={}",
                if serializable {
                    "serializable"
                } else {
                    "linearizable"
                },
                verified.found,
                verified.lost,
                verified.foreign
            );
        }
    }
    Ok(())
}

fn read_notes(file: &Path) -> Result<Notes> {
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut notes = Notes::new();
    for (at, line) in BufReader::new(opened).lines().enumerate() {
        let line = line?;
        let words: Vec<_> = line.split(' ').collect();
        let [outcome, key, value, revision] = words[..] else {
            bail!("{}:{}: no note of a write", file.display(), at + 1);
        };
        let revision = (outcome == "acknowledged")
            .then(|| revision.parse())
            .transpose()?;
        let value = value.to_owned();
        notes.insert(key.to_owned(), Noted { value, revision });
    }
    Ok(notes)
}

/// Compares all keys of one member with the notes.
async fn verify_member(endpoint: &str, serializable: bool, notes: &Notes) -> Result<Verified> {
    let mut client = KvClient::new(channel(endpoint)?);
    let mut verified = Verified::default();
    let mut expected = notes.iter().peekable();
    let mut from = PREFIX.as_bytes().to_vec();
    loop {
        let request = RangeRequest {
            key: from,
            range_end: PREFIX_END.into(),
            limit: PAGE,
            serializable,
            ..RangeRequest::default()
        };
        let answer = client.range(request).await?.into_inner();
        for stored in &answer.kvs {
            let key = String::from_utf8_lossy(&stored.key);
            while let Some((_, noted)) = expected.next_if(|(noted, _)| noted.as_str() < &*key) {
                verified.lost += u64::from(noted.revision.is_some());
            }
            let noted = expected.next_if(|(noted, _)| noted.as_str() == key);
            verified.compare(stored, noted.map(|(_, noted)| noted));
        }
        let Some(last) = answer.kvs.last().filter(|_| answer.more) else {
            break;
        };
        // The smallest key after the last one.
        from = [last.key.as_slice(), &[0]].concat();
    }
    let rest = expected.filter(|(_, noted)| noted.revision.is_some());
    verified.lost += rest.count() as u64;
    Ok(verified)
}

impl Verified {
    fn compare(&mut self, stored: &KeyValue, noted: Option<&Noted>) {
        let Some(noted) = noted else {
            self.foreign += 1;
            return;
        };
        let same_value = stored.value == noted.value.as_bytes();
        match noted.revision {
            Some(revision) if same_value && stored.mod_revision == revision => self.found += 1,
            Some(_) => self.lost += 1,
            // It took effect although nobody heard so; that is allowed, another value is not.
            None => self.foreign += u64::from(!same_value),
        }
    }
}
