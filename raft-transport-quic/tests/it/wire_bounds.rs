//! How much a body may hold, on both sides, and what it takes in memory.

use bytes::Bytes;
use raft_core::message::{
    Absence, AppendEntries, Commit, EntryAbsent, Propose, ProposeRefused, Refusal,
};
use raft_core::{
    Entry, Envelope, LogId, LogIndex, LogSlice, MemberInfo, Membership, Message, NodeId, RequestId,
};
use raft_transport_quic::frame::{FrameBuilder, FrameKind};
use raft_transport_quic::wire::{
    self, MAX_BODY, MAX_ITEMS, MAX_SHARED_BODY, WIRE_VERSION, WireError, decode_batch,
    decode_batch_of, encode_batch, encode_batch_in,
};

use crate::support::envelope;

fn in_envelope(message: Message) -> Envelope {
    envelope(NodeId::new(1), NodeId::new(2), message)
}

fn commit() -> Envelope {
    let commit = LogIndex::ZERO;
    in_envelope(Message::Commit(Commit { commit }))
}

/// Blank entries, which are three bytes each where their indices are short.
fn append(entries: usize) -> Envelope {
    let entries = (1..=entries as u64).map(|index| Entry::blank(LogId::new(1, index)));
    in_envelope(Message::AppendEntries(AppendEntries {
        session: 1,
        previous: LogId::ZERO,
        entries: LogSlice::new(entries.collect()).unwrap(),
        commit: LogIndex::ZERO,
    }))
}

fn propose(commands: usize) -> Envelope {
    let commands = (1..=commands as u64).map(|sequence| (sequence, Bytes::new()));
    in_envelope(Message::Propose(Propose {
        boot: 1,
        commands: commands.collect(),
    }))
}

fn refuse(sequences: usize) -> Envelope {
    in_envelope(Message::ProposeRefused(ProposeRefused {
        boot: 1,
        sequences: vec![1; sequences],
        reason: Refusal::Overloaded,
    }))
}

fn encode(batch: &[Envelope]) -> Result<Vec<u8>, WireError> {
    let mut body = Vec::new();
    encode_batch(batch, &mut body).map(|()| body)
}

fn encode_in_parts(batch: &[Envelope]) -> Result<(), WireError> {
    encode_batch_in(batch, &mut FrameBuilder::new(FrameKind::Messages, 0))
}

/// A body that a writer without bounds would write.
fn unbounded(batch: &[Envelope]) -> Bytes {
    let mut body = Vec::new();
    wire::encode(batch, &mut body).unwrap();
    body.into()
}

/// Small messages whose body has `len` bytes, as far as they come to it.
fn commits(len: usize) -> Vec<Envelope> {
    let one = unbounded(&[commit()]).len() - 2;
    vec![commit(); (len - 6) / one]
}

#[test]
fn a_long_body_of_several_messages_is_neither_written_nor_read() {
    let fits = commits(MAX_SHARED_BODY);
    assert_eq!(decode_batch(&encode(&fits).unwrap()).unwrap(), fits);
    assert!(encode_in_parts(&fits).is_ok());

    let too_long = commits(MAX_SHARED_BODY + 100);

    let crowded = |result| matches!(result, Err(WireError::Crowded { .. }));
    assert!(crowded(encode(&too_long).map(drop)));
    assert!(crowded(encode_in_parts(&too_long)));
    let error = decode_batch_of(&unbounded(&too_long)).unwrap_err();
    let count = too_long.len();
    assert_eq!(
        error.to_string(),
        format!(
            "{count} messages in a body of {} bytes, which may hold one",
            unbounded(&too_long).len()
        )
    );
}

#[test]
fn two_messages_with_large_commands_do_not_share_a_body() {
    let request = RequestId {
        boot: 1,
        sequence: 1,
    };
    let entry = Entry::command(LogId::new(1, 1), request, vec![7; MAX_SHARED_BODY].into());
    let large = in_envelope(Message::AppendEntries(AppendEntries {
        session: 1,
        previous: LogId::ZERO,
        entries: LogSlice::new(vec![entry]).unwrap(),
        commit: LogIndex::ZERO,
    }));

    assert!(encode_in_parts(std::slice::from_ref(&large)).is_ok());
    let both = encode_in_parts(&[large, commit()]);
    assert!(
        matches!(both, Err(WireError::Crowded { messages: 2, .. })),
        "{both:?}"
    );
}

/// An answer that can only be long because of its membership.
#[test]
fn only_what_carries_or_refuses_commands_is_long() {
    let absent = |context: usize| {
        let info = MemberInfo {
            context: vec![7; context].into(),
            ..MemberInfo::default()
        };
        let membership = Membership::of_voters([(NodeId::new(1), info)]);
        let up_to = LogId::new(1, 1);
        let membership = Box::new(membership);
        in_envelope(Message::EntryAbsent(EntryAbsent {
            log_id: up_to,
            absence: Absence::Purged { up_to, membership },
        }))
    };
    let fits = [absent(MAX_SHARED_BODY - 100)];
    assert_eq!(decode_batch(&encode(&fits).unwrap()).unwrap(), fits);

    let long = [absent(MAX_SHARED_BODY)];

    for refused in [
        encode(&long).map(drop),
        encode_in_parts(&long),
        decode_batch_of(&unbounded(&long)).map(drop),
    ] {
        assert!(
            matches!(refused, Err(WireError::Long { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a_message_of_too_many_parts_is_neither_written_nor_read() {
    // Each of them is longer than other messages may be.
    for message in [append, propose, refuse] {
        let most = [message(MAX_ITEMS)];
        let name = most[0].message.name();
        let body = encode(&most).unwrap();
        assert!(decode_batch(&body).unwrap() == most, "{name}");

        let more = [message(MAX_ITEMS + 1)];

        for refused in [encode(&more).map(drop), encode_in_parts(&more)] {
            let error = refused.unwrap_err().to_string();
            assert!(error.starts_with("131073 entries or commands"), "{error}");
        }
        let read = decode_batch_of(&unbounded(&more));
        assert!(matches!(read, Err(WireError::Malformed(_))), "{name}");
    }
}

/// Numbers count with their full width in bincode's own limit, which must not refuse
/// what ours lets pass.
#[test]
fn a_command_that_fills_the_longest_body_comes_back() {
    let of = |len: usize| {
        in_envelope(Message::Propose(Propose {
            boot: 1,
            commands: vec![(1, vec![7; len].into())],
        }))
    };
    let around = unbounded(&[of(1 << 20)]).len() - (1 << 20);
    let longest = [of(MAX_BODY - around)];

    let body = Bytes::from(encode(&longest).unwrap());

    assert_eq!(body.len(), MAX_BODY);
    assert!(decode_batch_of(&body).unwrap() == longest);
}

#[test]
fn a_text_that_is_only_announced_is_refused() {
    // A membership change with a step whose address would be as long as half of memory.
    let mut body = vec![WIRE_VERSION, 1, 0, 1, 0, 2, 0, 1, 13, 1, 1, 1, 0, 3, 0, 253];
    body.extend_from_slice(&(1_u64 << 62).to_le_bytes());

    let error = decode_batch(&body).unwrap_err();

    assert!(matches!(error, WireError::Malformed(_)), "{error}");
}

#[cfg(target_os = "linux")]
mod memory {
    use super::*;
    use crate::alone::is_alone;

    const MIB: usize = 1024 * 1024;

    /// A figure of this process's memory, in bytes.
    fn figure(name: &str) -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with(name));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.unwrap().parse::<usize>().unwrap() * 1024
    }

    /// A number of four bytes, as bincode writes it; it may be a small one.
    fn number(value: usize) -> [u8; 5] {
        let [a, b, c, d] = u32::try_from(value).unwrap().to_le_bytes();
        [252, a, b, c, d]
    }

    /// A body, put together here so that nothing but itself takes room before.
    fn body(start: &[&[u8]], count: usize, item: impl Fn(usize) -> Vec<u8>) -> Bytes {
        let mut body = Vec::with_capacity(16 * MIB);
        body.push(WIRE_VERSION);
        body.extend(start.concat());
        body.extend(number(count));
        body.extend((1..=count).flat_map(item));
        assert!(body.len() <= 16 * MIB, "{}", body.len());
        body.into()
    }

    /// Group, from, to and term of an envelope, and what kind of message is in it.
    const fn head(kind: u8) -> [u8; 7] {
        [0, 1, 0, 2, 0, 1, kind]
    }

    fn commits(count: usize) -> Bytes {
        body(&[], count, |_| [&head(8)[..], &[0]].concat())
    }

    /// Without what comes after them: the body is refused, but at its end.
    fn blanks(count: usize) -> Bytes {
        let start: [&[u8]; 3] = [&[1], &head(4), &[1, 0, 0]];
        body(&start, count, |index| {
            [&[1], &number(index)[..], &[0]].concat()
        })
    }

    fn commands(count: usize) -> Bytes {
        body(&[&[1], &head(11), &[1]], count, |_| vec![1, 0])
    }

    fn refused(count: usize) -> Bytes {
        body(&[&[1], &head(12), &[1]], count, |_| vec![1])
    }

    /// Steps of a change, each of which promotes node 1.
    fn steps(count: usize) -> Bytes {
        body(&[&[1], &head(13), &[1, 1]], count, |_| vec![1, 1])
    }

    /// The members of a membership that nobody votes in. It is refused in the end.
    fn members(count: usize) -> Bytes {
        body(&[&[1], &head(18), &[1, 1, 1, 1, 1]], count, |id| {
            [&number(id)[..], &[0, 0, 0]].concat()
        })
    }

    fn entry_of_members(count: usize) -> Bytes {
        let start: [&[u8]; 3] = [&[1], &head(17), &[1, 1, 2]];
        body(&start, count, |id| [&number(id)[..], &[0, 0, 0]].concat())
    }

    #[test]
    fn a_body_takes_bounded_room_whatever_it_holds() {
        if !is_alone("wire_bounds::memory::a_body_takes_bounded_room_whatever_it_holds") {
            return;
        }
        // In MiB. Pages of the program that are touched for the first time count, too: one
        // MiB, in which whatever is refused at its beginning takes nothing.
        let bodies = [
            ("many commits", commits(2 * MIB - 10), 4),
            ("many blank entries", blanks(2 * MIB), 4),
            ("many commands", commands(8 * MIB - 10), 4),
            ("many refused commands", refused(16 * MIB - 20), 4),
            ("many steps", steps(8 * MIB - 10), 4),
            ("many members", members(2 * MIB - 10), 4),
            (
                "commits that share a body",
                commits(MAX_SHARED_BODY / 8 - 2),
                32,
            ),
            ("as many commands as may be", commands(MAX_ITEMS), 32),
            ("as many entries as may be", blanks(MAX_ITEMS), 32),
            (
                "as many steps as may be",
                steps(MAX_SHARED_BODY / 2 - 10),
                32,
            ),
            ("members of an entry", entry_of_members(2 * MIB - 10), 128),
        ];
        let before = figure("VmRSS:");

        for (name, body, most) in &bodies {
            let outcome = decode_batch_of(body).map(|batch| batch.len());

            // The peak of all so far.
            let taken = figure("VmHWM:").saturating_sub(before);
            let (taken, len) = (taken >> 10, body.len() >> 10);
            println!("{name}: {outcome:?} took {taken} KiB for {len} KiB");
            assert!(taken <= most << 10, "{name}: {taken} KiB");
        }
    }
}
