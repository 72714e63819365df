//! Every decoder of this crate, for the fuzz target: of bytes as they come, which the
//! checksums mostly refuse, and of bytes under a checksum that holds.
//!
//! Nothing may panic. What is accepted is encoded again and must be accepted again as
//! the same; memory must stay in proportion to the bytes that came.

use bytes::Bytes;
use raft_core::{GroupId, HardState, LogIndex};

use crate::keys::{IDENTITY_KEY, log_key};
use crate::machine::stream::{Record, StreamReader};
use crate::record::{
    self, AppliedBody, AppliedMembershipBody, Body, IdentityBody, Kind, LaterVoteBody,
    LaterVoteMarkBody, PurgedBody, VoteMarkBody,
};
use crate::run::{self, Run};
use crate::{manifest, watermark};

const GROUP: GroupId = GroupId::new(3);
const FIRST: LogIndex = LogIndex::new(7);

/// Decodes `data`; its first byte says as what.
///
/// # Panics
///
/// If a decoder is wrong.
pub fn decode(data: &[u8]) {
    let Some((&what, data)) = data.split_first() else {
        return;
    };
    match what {
        0 => one::<IdentityBody>(data),
        1 => one::<PurgedBody>(data),
        2 => one::<HardState>(data),
        3 => one::<VoteMarkBody>(data),
        4 => one::<LaterVoteBody>(data),
        5 => one::<LaterVoteMarkBody>(data),
        6 => one::<AppliedBody>(data),
        7 => one::<AppliedMembershipBody>(data),
        8 => runs(data),
        9 => copies(data),
        10 => {
            watermark::decode(data);
        }
        11 => {
            manifest::holds_recycled_record(data);
        }
        12 => streams(data),
        _ => raw(data),
    }
}

/// A record with this body, and a checksum that holds.
fn sealed(key: &[u8], kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    record::begin(&mut bytes, kind);
    bytes.extend_from_slice(body);
    record::seal(key, &mut bytes);
    bytes
}

fn one<T: Body>(body: &[u8]) {
    if let Ok(value) = record::decode::<T>(IDENTITY_KEY, &sealed(IDENTITY_KEY, T::KIND, body)) {
        let again = record::encode(IDENTITY_KEY, &value);
        let value = record::decode::<T>(IDENTITY_KEY, &again).expect("it is what we wrote");
        assert_eq!(record::encode(IDENTITY_KEY, &value), again);
    }
}

/// A run that is a third of the bytes, over a payload that is the rest.
fn runs(data: &[u8]) {
    let (body, payload) = data.split_at(data.len() / 3);
    let record = sealed(&log_key(GROUP, FIRST), Kind::Run, body);
    let Ok(run) = Run::decode(GROUP, FIRST, &record) else {
        return;
    };
    let payload = Bytes::copy_from_slice(payload);
    let Some(last) = run.last() else { return };
    let mut index = FIRST;
    while index <= last.index {
        let line = run.line(index).expect("it is within the run");
        run.meta(index).expect("it is within the run");
        if payload.get(line.bytes.clone()).is_some() {
            // Mostly an error, as the checksum of the entry does not hold.
            let _ = run.entry(index, &line, payload.slice(line.bytes.clone()));
        }
        index = index.next();
    }
    assert!(run.line(index).is_none());
}

fn copies(body: &[u8]) {
    let key = log_key(GROUP, FIRST);
    if let Ok(entry) = run::repaired_entry(&key, FIRST, &sealed(&key, Kind::Repaired, body)) {
        let again = run::repaired(&key, &entry);
        let same = run::repaired_entry(&key, FIRST, &again).expect("it is what we wrote");
        assert_eq!(same, entry);
    }
}

/// A stream in chunks of as many bytes as the first of them says.
fn streams(data: &[u8]) {
    let Some((&length, data)) = data.split_first() else {
        return;
    };
    let mut stream = StreamReader::new(b"header".to_vec());
    let mut bytes = 0;
    for chunk in data.chunks(usize::from(length).max(1)) {
        let take = |record: Record<'_>| {
            bytes += record.key.len() + record.value.len() + usize::from(record.tag > 0);
            Ok(())
        };
        if stream.feed(chunk, take).is_err() {
            return;
        }
    }
    assert!(bytes <= data.len());
    let _ = stream.finish();
}

fn raw(data: &[u8]) {
    let _ = record::decode::<HardState>(IDENTITY_KEY, data);
    let _ = Run::decode(GROUP, FIRST, data);
    let _ = run::repaired_entry(&log_key(GROUP, FIRST), FIRST, data);
}
