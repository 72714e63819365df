//! The bytes on the wire: fixed, bounded, and never a reason to panic.

use std::fmt::Write;
use std::path::PathBuf;

use bytes::Bytes;
use raft_core::message::{FetchedEntry, Propose};
use raft_core::{Entry, Envelope, GroupId, Incarnation, LogId, Message, NodeId, ReplicaId, Term};
use raft_transport_quic::frame::{
    FRAME_VERSION, FrameBuilder, FrameError, FrameKind, FrameReader, HEADER_LEN,
};
use raft_transport_quic::wire::{
    WIRE_VERSION, WireError, decode_batch, decode_batch_of, encode_batch, encode_batch_in,
};
use tokio::io::AsyncWriteExt;

use crate::support::Random;
use crate::wire_messages::{REQUEST, messages, snapshot_bodies};

fn in_envelope(message: Message) -> Envelope {
    Envelope {
        group: GroupId::new(3),
        from: ReplicaId {
            node: NodeId::new(1),
            incarnation: Incarnation::new(2),
        },
        to: ReplicaId::first(70_000),
        term: Term::new(5),
        message,
    }
}

fn encode(batch: &[Envelope]) -> Vec<u8> {
    let mut body = Vec::new();
    encode_batch(batch, &mut body).unwrap();
    body
}

/// Nothing may be added to `Message` without a line of golden bytes: this
/// match has no wildcard, and the test below counts.
const fn number(message: &Message) -> usize {
    match message {
        Message::PreVote(_) => 0,
        Message::PreVoteReply(_) => 1,
        Message::RequestVote(_) => 2,
        Message::RequestVoteReply(_) => 3,
        Message::AppendEntries(_) => 4,
        Message::AppendReply(_) => 5,
        Message::Heartbeat(_) => 6,
        Message::HeartbeatReply(_) => 7,
        Message::Commit(_) => 8,
        Message::ReadIndex(_) => 9,
        Message::ReadIndexReply(_) => 10,
        Message::Propose(_) => 11,
        Message::ProposeRefused(_) => 12,
        Message::ChangeMembership(_) => 13,
        Message::ChangeMembershipReply(_) => 14,
        Message::TimeoutNow(_) => 15,
        Message::FetchEntry(_) => 16,
        Message::FetchedEntry(_) => 17,
        Message::EntryAbsent(_) => 18,
    }
}

#[test]
fn there_are_golden_bytes_of_every_kind() {
    let mut kinds: Vec<_> = messages().iter().map(|(_, m)| number(m)).collect();
    kinds.dedup();

    assert_eq!(kinds, (0..=18).collect::<Vec<_>>());
}

/// `UPDATE_EXPECT=1` rewrites the file; a change of it needs a new `WIRE_VERSION`.
#[test]
fn every_message_has_its_golden_bytes_and_comes_back_from_them() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/wire_v1.txt");
    let mut found = String::new();
    for (name, message) in messages() {
        let body = encode(&[in_envelope(message.clone())]);
        writeln!(found, "{name} {}", hex(&body)).unwrap();
        assert_eq!(decode_batch(&body).unwrap(), [in_envelope(message)]);
    }
    for (name, body) in snapshot_bodies() {
        writeln!(found, "{name} {}", hex(&body)).unwrap();
    }

    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found, expected);
    assert_eq!(WIRE_VERSION, 1);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_batch_comes_back_in_order() {
    let batch: Vec<_> = messages()
        .into_iter()
        .map(|(_, m)| in_envelope(m))
        .collect();

    assert_eq!(decode_batch(&encode(&batch)).unwrap(), batch);
    assert_eq!(decode_batch(&encode(&[])).unwrap(), []);
}

fn proposal_of(sizes: &[usize]) -> Envelope {
    let commands = sizes.iter().zip(1..);
    let commands = commands.map(|(size, number)| (number, vec![7; *size].into()));
    in_envelope(Message::Propose(Propose {
        boot: 1,
        commands: commands.collect(),
    }))
}

#[test]
fn a_frame_in_parts_holds_the_same_bytes_and_a_large_command_where_it_lay() {
    let entry = Entry::command(LogId::new(5, 9), REQUEST, vec![8; 20_000].into());
    let fetched = Message::FetchedEntry(FetchedEntry { entry });
    let mut batch = vec![
        proposal_of(&[10, 16_384, 16_383, 100_000, 0]),
        in_envelope(fetched),
    ];
    batch.extend(messages().into_iter().map(|(_, m)| in_envelope(m)));

    let mut frame = FrameBuilder::new(FrameKind::Messages, 0);
    encode_batch_in(&batch, &mut frame).unwrap();
    let parts = frame.finish_parts(1 << 20).unwrap();

    assert_eq!(parts.concat()[HEADER_LEN..], encode(&batch));
    let Message::Propose(proposal) = &batch[0].message else {
        unreachable!("it was made above");
    };
    let lies_in = |data: &Bytes| parts.iter().any(|part| part.as_ptr() == data.as_ptr());
    let found: Vec<_> = proposal.commands.iter().map(|(_, d)| lies_in(d)).collect();
    assert_eq!(found, [false, true, false, true, false]);
    assert_eq!(parts.len(), 7);
}

#[test]
fn a_large_command_stays_in_its_frame_and_a_small_one_does_not() {
    let batch = [proposal_of(&[16_383, 16_384])];
    let body = Bytes::from(encode(&batch));

    let decoded = decode_batch_of(&body).unwrap();

    assert_eq!(decoded, batch);
    let Message::Propose(proposal) = &decoded[0].message else {
        unreachable!("it is equal to what was encoded");
    };
    let whole = body.as_ptr_range();
    let lies_in = |data: &Bytes| whole.contains(&data.as_ptr());
    let found: Vec<_> = proposal.commands.iter().map(|(_, d)| lies_in(d)).collect();
    assert_eq!(found, [false, true]);
}

#[test]
fn every_truncation_and_every_surplus_is_an_error() {
    let batch: Vec<_> = messages()
        .into_iter()
        .map(|(_, m)| in_envelope(m))
        .collect();
    let mut body = encode(&batch);

    for len in 0..body.len() {
        assert!(
            decode_batch(&body[..len]).is_err(),
            "{len} bytes were enough"
        );
    }
    body.push(0);
    assert!(matches!(
        decode_batch(&body),
        Err(WireError::Trailing { extra: 1 })
    ));
}

#[test]
fn another_version_is_named() {
    let mut body = encode(&[]);
    body[0] = 9;

    let error = decode_batch(&body).unwrap_err().to_string();

    assert_eq!(error, "message format version 9, expected 1");
}

#[test]
fn entries_that_are_no_run_are_refused() {
    let (_, append) = messages().swap_remove(4);
    let body = encode(&[in_envelope(append)]);
    // The blank entry's index, 41, becomes 1: a gap before 42.
    let at = body.windows(3).position(|w| w == [4, 41, 0]).unwrap();
    let mut gap = body.clone();
    gap[at + 1] = 1;

    assert!(decode_batch(&body).is_ok());
    assert!(decode_batch(&gap).is_err());
}

#[test]
fn random_bytes_never_panic() {
    let seed = 1;
    let mut random = Random(seed);
    for _ in 0..20_000 {
        let len = random.below(80);
        let mut body = random.bytes(len);
        body.insert(0, WIRE_VERSION);
        // Either answer is fine; that there is one is the test.
        decode_batch(&body).ok();
    }
}

#[test]
fn damaged_messages_never_panic_and_decode_only_to_what_encodes_back() {
    let batch: Vec<_> = messages()
        .into_iter()
        .map(|(_, m)| in_envelope(m))
        .collect();
    let good = encode(&batch);
    let mut random = Random(2);
    for _ in 0..20_000 {
        let mut body = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(body.len() - 1) + 1;
            body[at] = random.next().to_le_bytes()[0];
        }
        if let Ok(decoded) = decode_batch(&body) {
            assert_eq!(decode_batch(&encode(&decoded)).unwrap(), decoded);
        }
    }
}

#[test]
fn a_claimed_length_beyond_the_bytes_is_an_error() {
    // A batch of 2^63 envelopes, in bincode's nine-byte form.
    let mut body = vec![WIRE_VERSION, 253];
    body.extend_from_slice(&(1_u64 << 63).to_le_bytes());

    assert!(decode_batch(&body).is_err());
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_before_room_is_made_for_it() {
    let mut bytes = vec![FRAME_VERSION, FrameKind::Messages as u8];
    bytes.extend_from_slice(&u32::MAX.to_be_bytes());
    bytes.extend_from_slice(&[0; 100]);
    let mut frames = FrameReader::new(&bytes[..], 1 << 20);

    let error = frames.next().await.unwrap_err();

    assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
    assert!(frames.reserved() <= 128 * 1024, "{}", frames.reserved());
}

#[tokio::test]
async fn a_frame_at_the_limit_passes_and_one_byte_more_does_not() {
    for (len, fits) in [(1000, true), (1001, false)] {
        let frame = frame_of(&vec![7; len]);
        let mut frames = FrameReader::new(&frame[..], 1000);
        assert_eq!(frames.next().await.is_ok(), fits);
    }
    let mut builder = FrameBuilder::new(FrameKind::Messages, 0);
    builder.body().extend_from_slice(&[0; 1001]);
    assert!(builder.finish(1000).is_err());
}

fn frame_of(body: &[u8]) -> Bytes {
    let mut builder = FrameBuilder::new(FrameKind::Messages, body.len());
    builder.body().extend_from_slice(body);
    builder.finish(usize::MAX).unwrap()
}

#[tokio::test]
async fn frames_come_out_whole_however_the_bytes_come_in() {
    let bodies: Vec<Vec<u8>> = (0..20).map(|i| vec![i; usize::from(i) * 13]).collect();
    let bytes: Vec<u8> = bodies.iter().flat_map(|body| frame_of(body)).collect();
    let mut random = Random(3);
    for _ in 0..20 {
        let (mut sender, receiver) = tokio::io::duplex(64);
        let portion = random.below(40) + 1;
        let sent = bytes.clone();
        tokio::spawn(async move {
            for part in sent.chunks(portion) {
                sender.write_all(part).await.unwrap();
            }
        });

        let mut frames = FrameReader::new(receiver, 1000);
        let mut got = Vec::new();
        while let Some(frame) = frames.next().await.unwrap() {
            got.push(frame.body.to_vec());
        }

        assert_eq!(got, bodies);
    }
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_frame_is_an_error() {
    let frame = frame_of(b"hello");
    for len in 1..frame.len() {
        let mut frames = FrameReader::new(&frame[..len], 1000);
        let error = frames.next().await.unwrap_err();
        assert!(matches!(error, FrameError::Truncated { have } if have == len));
    }
    assert_eq!(frame.len(), HEADER_LEN + 5);
}

#[tokio::test]
async fn another_framing_and_an_unknown_kind_are_named() {
    for (header, text) in [
        ([9, 2, 0, 0, 0, 0], "frame version 9, expected 1"),
        ([1, 77, 0, 0, 0, 0], "unknown frame kind 77"),
    ] {
        let mut frames = FrameReader::new(&header[..], 1000);
        assert_eq!(frames.next().await.unwrap_err().to_string(), text);
    }
}
