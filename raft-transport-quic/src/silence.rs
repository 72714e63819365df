//! Notices that nothing is heard of a peer any more.
//!
//! QUIC has a timeout for that, but prolongs it to three times its own for probes, which
//! rests on the round trip measured so far. When the first acknowledgements of a young
//! connection are lost, that is a second or more, and the silence of the peer would be
//! noticed only after many seconds. So it is timed here, too.
//!
//! Whoever notices says so to the peer, which may still be able to hear.

use std::time::Duration;

use quinn::Connection;
use tokio::time::sleep;

/// How often one looks before the limit is over.
const LOOKS: u32 = 8;

/// Returns when nothing was heard for `limit`, or an eighth longer. The peer says
/// something by itself now and then ([`keep_alive`](crate::QuicConfig::keep_alive)), and
/// answers that we do.
///
/// Looks are counted, not time: a process that stood still has heard nothing because it
/// did not listen, and what came meanwhile is read before the next look.
pub(crate) async fn noticed(connection: &Connection, limit: Duration) {
    let (mut heard, mut looks) = (frames_heard(connection), 0);
    while looks < LOOKS {
        sleep(limit / LOOKS).await;
        let now = frames_heard(connection);
        looks = if now == heard { looks + 1 } else { 0 };
        heard = now;
    }
}

/// Counts what shows that the peer is there: only who holds the keys can send frames.
fn frames_heard(connection: &Connection) -> u64 {
    let frames = connection.stats().frame_rx;
    frames.acks + frames.ping + frames.stream
}
