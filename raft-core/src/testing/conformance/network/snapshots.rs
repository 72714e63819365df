//! The duties about snapshots.

use std::sync::Arc;

use super::super::not_checked;
use super::helpers::{
    Ended, LAST, Recorder, Stream, Watch, another_snapshot, bytes_of, header, heartbeat, meanwhile,
    snapshot, until, whole,
};
use super::{GROUP, NetworkHarness, ONE, TWO, pair, reaches};
use crate::network::{Network, SnapshotHeader};
use crate::types::{Incarnation, LogId, Term};

/// So often a transfer that may be begun anew is begun.
const ATTEMPTS: usize = 20;

const RESUMES: &str = "duty 8, resumes";
const LETS_GO: &str = "duty 9, lets go";

/// Checks that what came is the beginning of the snapshot, and at its end all of it.
fn assert_sound(streams: &[Stream], whole: &[u8]) {
    for Stream { bytes, ended, .. } in streams {
        let (came, all) = (bytes.len(), whole.len());
        assert!(
            whole.starts_with(bytes),
            "{RESUMES}: the {came} bytes that came are not the first of {all}, each once and in order"
        );
        let is_short = *ended == Some(Ended::AtItsEnd) && came < all;
        assert!(
            !is_short,
            "{RESUMES}: a stream ended after {came} of {all} bytes as if that were all"
        );
    }
}

/// Duty 8, when nothing breaks.
pub async fn a_snapshot_arrives_whole(harness: &mut impl NetworkHarness) {
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(1), RESUMES).await;
    for chunks in [0, 1, 20] {
        let watch = Arc::new(Watch::default());
        watch.pace.open(usize::MAX);
        let sent = one
            .network
            .send_snapshot(header(), snapshot(chunks, &watch));
        let sent = sent.await;
        assert!(sent.is_ok(), "{RESUMES}: {sent:?} of {chunks} chunks");
        let streams = two.inbox.streams();
        assert_sound(&streams[streams.len() - 1..], &whole(chunks));
    }
}

/// Duty 8.
pub async fn a_snapshot_whose_link_breaks_goes_on_or_fails(harness: &mut impl NetworkHarness) {
    const CHUNKS: usize = 24;
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(1), RESUMES).await;
    let bytes = whole(CHUNKS);
    for attempt in 0..ATTEMPTS {
        let watch = Arc::new(Watch::default());
        let snapshot = snapshot(CHUNKS, &watch);
        let mut sending = one.network.send_snapshot(header(), snapshot);
        // It breaks in another place each time, the first three times.
        let breaks = [3, 9, 17].get(attempt);
        if let Some(&given) = breaks {
            watch.pace.open(given);
            let has_begun = || watch.signs() >= given;
            let begun = until(harness, RESUMES, "that a snapshot is read", has_begun);
            meanwhile(&mut sending, begun).await;
            if !harness.sever(ONE, TWO).await {
                return not_checked(RESUMES, "sever a link");
            }
            watch.pace.open(1);
            for _ in 0..5 {
                meanwhile(&mut sending, harness.pass_time()).await;
            }
            harness.heal(ONE, TWO).await;
        }
        watch.pace.open(usize::MAX);
        let sent = ends(harness, &mut sending, RESUMES).await;
        assert_sound(&two.inbox.streams(), &bytes);
        let came = two
            .inbox
            .streams()
            .iter()
            .any(|stream| stream.bytes == bytes);
        assert!(
            came || sent.is_err(),
            "{RESUMES}: a snapshot is said to be installed and did not come whole"
        );
        if sent.is_ok() && breaks.is_none() {
            return;
        }
    }
    panic!("{RESUMES}: no snapshot came through in {ATTEMPTS} attempts");
}

/// What becomes of a transfer, within patience.
async fn ends<F: Future + Unpin>(
    harness: &impl NetworkHarness,
    sending: &mut F,
    duty: &str,
) -> F::Output {
    let mut outcome = None;
    for _ in 0..harness.patience() {
        let mut passing = harness.pass_time();
        let ended = std::future::poll_fn(|context| {
            use std::task::Poll;
            if let Poll::Ready(ended) = std::pin::Pin::new(&mut *sending).poll(context) {
                return Poll::Ready(Some(ended));
            }
            passing.as_mut().poll(context).map(|()| None)
        });
        outcome = ended.await;
        if outcome.is_some() {
            break;
        }
    }
    outcome.unwrap_or_else(|| panic!("{duty}: the sending of a snapshot does not end"))
}

/// Begins a snapshot of which half is given, and goes on until some of it came.
macro_rules! begin_half {
    ($harness:ident, $one:ident, $two:ident, $watch:ident, $sending:ident) => {
        let $watch = Arc::new(Watch::default());
        let mut $sending = $one.network.send_snapshot(header(), snapshot(20, &$watch));
        $watch.pace.open(10);
        let seen = $two.inbox.streams().len();
        let has_begun = || $two.inbox.streams().get(seen).is_some_and(|s| s.chunks > 0);
        let begun = until($harness, LETS_GO, "that a snapshot is read", has_begun);
        meanwhile(&mut $sending, begun).await;
    };
}

/// Duty 9.
pub async fn a_snapshot_given_up_ends_with_an_error(harness: &mut impl NetworkHarness) {
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(1), LETS_GO).await;
    begin_half!(harness, one, two, watch, sending);

    drop(sending);
    let has_ended = || two.inbox.streams()[0].ended.is_some();
    let what = "the end of a snapshot whose sender gave up";
    until(harness, LETS_GO, what, has_ended).await;

    assert_sound(&two.inbox.streams(), &whole(20));
    drop(watch);
}

/// Duty 9.
pub async fn a_snapshot_is_given_up_for_another_of_its_group(harness: &mut impl NetworkHarness) {
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(1), LETS_GO).await;
    begin_half!(harness, one, two, watch, sending);

    let other = Arc::new(Watch::default());
    other.pace.open(usize::MAX);
    let mut next = one.network.send_snapshot(header(), snapshot(20, &other));
    let has_ended = || two.inbox.streams()[0].ended.is_some();
    let what = "the end of a snapshot after which its sender began another";
    let ended = until(harness, LETS_GO, what, has_ended);
    let both = meanwhile(&mut next, ended);
    meanwhile(&mut sending, std::pin::pin!(both)).await;

    assert_sound(&two.inbox.streams(), &whole(20));
    drop(watch);
}

/// Duty 9.
pub async fn nobody_waits_for_a_snapshot_whose_link_stays_cut(harness: &mut impl NetworkHarness) {
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(1), LETS_GO).await;
    begin_half!(harness, one, two, watch, sending);

    if !harness.sever(ONE, TWO).await {
        return not_checked(LETS_GO, "sever a link");
    }
    watch.pace.open(usize::MAX);
    let has_ended = || two.inbox.streams()[0].ended.is_some();
    let what = "the end of a snapshot whose link stays cut";
    let ended = until(harness, LETS_GO, what, has_ended);
    meanwhile(&mut sending, ended).await;

    assert_sound(&two.inbox.streams(), &whole(20));
}

/// Duty 9.
pub async fn a_snapshot_ends_when_its_receivers_transport_stops(harness: &mut impl NetworkHarness) {
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(1), LETS_GO).await;
    begin_half!(harness, one, two, watch, sending);

    meanwhile(&mut sending, harness.stop(two.network)).await;
    let has_ended = || two.inbox.streams()[0].ended.is_some();
    let what = "the end of a snapshot whose receiver's transport stopped";
    let ended = until(harness, LETS_GO, what, has_ended);
    meanwhile(&mut sending, ended).await;

    assert_sound(&two.inbox.streams(), &whole(20));
    drop(watch);
}

/// Duty 9.
pub async fn nobody_goes_on_with_a_snapshot_but_who_began_it(harness: &mut impl NetworkHarness) {
    let (began, longer) = (header(), LogId::new(1, 10));
    let [mut of_next_term, mut of_next_life] = [began; 2];
    of_next_term.term = Term::new(2);
    of_next_life.from.incarnation = Incarnation::new(1);
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(1), LETS_GO).await;
    for (header, last, what) in [
        (of_next_term, LAST, "the same replica in another term"),
        (of_next_life, LAST, "another replica on the same node"),
        (began, longer, "the same replica with another snapshot"),
    ] {
        begin_half!(harness, one, two, watch, sending);
        // Without a word to the receiver, which may wait for somebody to go on.
        if !harness.sever(ONE, TWO).await {
            return not_checked(LETS_GO, "sever a link");
        }
        drop(sending);
        harness.heal(ONE, TWO).await;
        assert!(
            comes_through(harness, &one.network, (header, last)).await,
            "{LETS_GO}: the snapshot of {what} did not come through in {ATTEMPTS} attempts"
        );
        for stream in two.inbox.streams() {
            let is_first = (stream.header, stream.last) == (began, LAST);
            let own = bytes_of(u8::from(!is_first), 20);
            assert!(
                own.starts_with(&stream.bytes),
                "{LETS_GO}: {what} went on with a snapshot that it had not begun"
            );
        }
        let of_it = |stream: &Stream| (stream.header, stream.last) == (header, last);
        let streams = two.inbox.streams();
        let is_whole = |stream: &Stream| of_it(stream) && stream.bytes == bytes_of(1, 20);
        assert!(
            streams.iter().any(is_whole),
            "{LETS_GO}: the snapshot of {what} is said to be installed and did not come whole"
        );
        drop(watch);
    }
}

/// Sends another snapshot, again and again. Answers whether it came through.
async fn comes_through<N: Network>(
    harness: &impl NetworkHarness<Network = N>,
    network: &N,
    (header, last): (SnapshotHeader, LogId),
) -> bool {
    for _ in 0..ATTEMPTS {
        let watch = Arc::new(Watch::default());
        watch.pace.open(usize::MAX);
        let snapshot = another_snapshot(1, last, 20, &watch);
        let mut sending = network.send_snapshot(header, snapshot);
        if ends(harness, &mut sending, LETS_GO).await.is_ok() {
            return true;
        }
        harness.pass_time().await;
    }
    false
}

/// Duty 10.
pub async fn the_sender_hears_of_progress(harness: &mut impl NetworkHarness) {
    const CHUNKS: usize = 60;
    let duty = "duty 10, tells of progress";
    let bytes = whole(CHUNKS).len();
    let [one, two] = pair(harness).await;
    reaches(harness, &one, &two, &heartbeat(1), duty).await;
    let inbox = Arc::new(Recorder::slow());
    two.network.register(GROUP, Arc::<Recorder>::clone(&inbox));
    let watch = Arc::new(Watch::default());
    watch.pace.open(usize::MAX);
    let mut sending = one
        .network
        .send_snapshot(header(), snapshot(CHUNKS, &watch));

    for quarter in 1..=4 {
        // Time to read ahead as far as it likes.
        for _ in 0..20 {
            meanwhile(&mut sending, harness.pass_time()).await;
        }
        let before = watch.signs();
        let taken = || {
            let streams = inbox.streams();
            let took = streams.first().map_or(0, |stream| stream.bytes.len());
            let is_enough = took >= bytes * quarter / 4;
            if !is_enough {
                // Not more: what comes late is not to be read past its quarter.
                inbox.pace.let_one_pass();
            }
            is_enough
        };
        let what = "that the receiver takes a quarter of a snapshot";
        meanwhile(&mut sending, until(harness, duty, what, taken)).await;
        let has_heard = || watch.signs() > before;
        let what = format!("a word to the sender that quarter {quarter} was taken");
        meanwhile(&mut sending, until(harness, duty, &what, has_heard)).await;
    }
    inbox.pace.open(usize::MAX);
    let sent = ends(harness, &mut sending, duty).await;
    assert!(sent.is_ok(), "{duty}: then {sent:?}");
}
