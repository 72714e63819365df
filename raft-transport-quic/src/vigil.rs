//! Trust while a connection lasts: a certificate can expire, be revoked, or
//! lose its authority after its handshake.
//!
//! The peer's certificate is looked at anew when ours or whom we trust is
//! reloaded, and every [`RECHECK`] for what time brings. A connection whose
//! peer would be refused now is closed at once.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use raft_core::NodeId;
use rustls::pki_types::UnixTime;
use tokio::time::MissedTickBehavior;

use crate::credentials::Credentials;
use crate::error::{CloseCode, Direction, Refusal};
use crate::link::Link;
use crate::shared::Shared;
use crate::tls;

/// A certificate that expires ends its connections so much later at most.
pub(crate) const RECHECK: Duration = Duration::from_secs(5);
/// An own certificate that expires sooner is worth a warning.
const EXPIRES_SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Ends the connection when its peer is not to be trusted any more.
pub(crate) async fn watch_over_peer(shared: Arc<Shared>, link: Arc<Link>) {
    let chain = tls::peer_chain(&link.connection);
    let mut credentials = shared.watch_credentials();
    // The first tick is at once: the handshake may have been under way during a reload.
    let mut tick = tokio::time::interval(RECHECK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            changed = credentials.changed() => if changed.is_err() { return },
        }
        let trust = Arc::clone(&credentials.borrow_and_update().trust);
        if let Err(distrust) = trust.check(&chain, UnixTime::now()) {
            end(&shared, &link, &distrust.to_string());
            return;
        }
    }
}

/// Whether the peer would still be let in: the handshake may have been complete before
/// a reload, and the hello after it. Ends the connection if not.
pub(crate) fn admits(shared: &Shared, link: &Link) -> bool {
    let chain = tls::peer_chain(&link.connection);
    let checked = shared.credentials().trust.check(&chain, UnixTime::now());
    if let Err(distrust) = &checked {
        end(shared, link, &distrust.to_string());
    }
    checked.is_ok()
}

fn end(shared: &Shared, link: &Link, reason: &str) {
    let Link {
        connection,
        peer,
        direction,
    } = link;
    connection.close(CloseCode::Untrusted.code(), reason.as_bytes());
    shared
        .refusals
        .record(refusal(*direction, peer.id, connection, reason));
}

fn refusal(
    direction: Direction,
    peer: NodeId,
    connection: &quinn::Connection,
    reason: &str,
) -> Refusal {
    Refusal {
        direction,
        peer: Some(peer),
        address: connection.remote_address(),
        reason: format!("we refused the peer: {reason}"),
    }
}

/// Tells how long our own certificate lasts, until the node stops.
pub(crate) async fn watch_over_own(shared: Arc<Shared>) {
    let mut credentials = shared.watch_credentials();
    let mut tick = tokio::time::interval(RECHECK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut warned = Warned::default();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            changed = credentials.changed() => {
                if changed.is_err() {
                    return;
                }
                warned = Warned::default();
            }
        }
        let current = Arc::clone(&credentials.borrow_and_update());
        report(&current, &mut warned);
    }
}

/// What was said of the present credentials; once is enough.
#[derive(Default)]
struct Warned {
    expiry: bool,
    list: bool,
}

fn report(credentials: &Credentials, warned: &mut Warned) {
    let expires_at = credentials.certificates.expires_at();
    let now = SystemTime::now();
    let left = match expires_at.duration_since(now) {
        Ok(left) => left.as_secs_f64(),
        Err(past) => -past.duration().as_secs_f64(),
    };
    metrics::gauge!("raft_transport_certificate_expiry_seconds").set(left);
    let revoked = credentials.trust.revoked();
    #[allow(clippy::cast_precision_loss, reason = "exact below 2^52 certificates")]
    metrics::gauge!("raft_transport_revoked_certificates").set(revoked.len() as f64);
    if left < EXPIRES_SOON.as_secs_f64() && !std::mem::replace(&mut warned.expiry, true) {
        let certificate = credentials.certificates.shown();
        tracing::warn!(
            %certificate, seconds_left = left,
            "this node's certificate expires soon; put another one in its place"
        );
    }
    let overdue = revoked.next_update().is_some_and(|due| due < now);
    if overdue && !std::mem::replace(&mut warned.list, true) {
        tracing::warn!(
            "the list of revoked certificates should have been replaced; \
             it still counts, but later revocations are not in it"
        );
    }
}
