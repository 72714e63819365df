//! Accepts connections, and hands what arrives to the inbox of its group.

use std::collections::BTreeMap;
use std::sync::Arc;

use quinn::Incoming;
use raft_core::{Envelope, GroupId, NodeId};

use crate::error::{Direction, Refusal};
use crate::half_open::{HalfOpen, Place};
use crate::link;
use crate::peer::count_dropped;
use crate::refusals::printable_end;
use crate::shared::Shared;
use crate::telemetry::{FailureReason, count_handshake_failure};
use crate::tls;

/// From so many connections on, a stranger must first prove its address.
const CROWDED: usize = 256;
/// From so many connections on, nobody more is let in.
const FULL: usize = 1024;

/// Accepts until the endpoint closes.
pub(crate) async fn accept(shared: Arc<Shared>) {
    let half_open = HalfOpen::default();
    while let Some(incoming) = shared.endpoint.accept().await {
        let connections = shared.endpoint.open_connections();
        if connections >= FULL {
            incoming.refuse();
            continue;
        }
        if connections >= CROWDED && incoming.may_retry() {
            if let Err(error) = incoming.retry() {
                tracing::debug!(%error, "cannot ask for a proof of address");
            }
            continue;
        }
        let is_proven = incoming.remote_address_validated();
        let Some(place) = half_open.enter(incoming.remote_address().ip(), is_proven) else {
            // Others may speak in the name of this address: who proves it has a share of its own.
            if is_proven || !incoming.may_retry() {
                incoming.refuse();
            } else if let Err(error) = incoming.retry() {
                tracing::debug!(%error, "cannot ask for a proof of address");
            }
            continue;
        };
        let task = greet(Arc::clone(&shared), incoming, place);
        shared.spawn(task);
    }
}

async fn greet(shared: Arc<Shared>, incoming: Incoming, place: Place) {
    let address = incoming.remote_address();
    let credentials = shared.credentials();
    let Ok(connecting) = incoming.accept_with(Arc::clone(&credentials.accepting)) else {
        return;
    };
    let limit = shared.config.handshake_timeout;
    let outcome = tokio::time::timeout(limit, connecting).await;
    drop(place);
    match outcome {
        Ok(Ok(connection)) => link::run(&shared, connection, None, credentials.renewals).await,
        Ok(Err(error)) => {
            tracing::debug!(%address, error = printable_end(&error), "handshake failed");
            shared
                .refusals
                .record_handshake(Direction::Incoming, None, address, &error);
        }
        Err(_) => {
            count_handshake_failure(Direction::Incoming, FailureReason::Timeout);
            tracing::debug!(%address, ?limit, "handshake took too long");
        }
    }
}

/// Hands a batch to the inboxes of its groups. Only what its sender may say
/// gets through: a certificate for one node says nothing in another's name.
pub(crate) fn deliver(shared: &Shared, link: &link::Link, mut batch: Vec<Envelope>) {
    let own = shared.own.node();
    let mut forged = None;
    batch.retain(|envelope| {
        let class = envelope.message.class();
        let (from, to) = (envelope.from.node, envelope.to.node);
        if from != link.peer.id {
            forged.get_or_insert(from);
            count_dropped(class, "forged_sender", 1);
        } else if to != own {
            count_dropped(class, "misaddressed", 1);
        }
        from == link.peer.id && to == own
    });
    // One word for all of them: a frame holds many.
    if let Some(claimed) = forged {
        report_forgery(shared, link, claimed);
    }
    let Some(group) = batch.first().map(|first| first.group) else {
        return;
    };
    // Most processes have one group, and nothing to sort.
    if batch.iter().all(|envelope| envelope.group == group) {
        return deliver_to(shared, group, batch);
    }
    let mut by_group: BTreeMap<GroupId, Vec<Envelope>> = BTreeMap::new();
    for envelope in batch {
        by_group.entry(envelope.group).or_default().push(envelope);
    }
    for (group, batch) in by_group {
        deliver_to(shared, group, batch);
    }
}

fn deliver_to(shared: &Shared, group: GroupId, batch: Vec<Envelope>) {
    if let Some(inbox) = shared.inbox(group) {
        return inbox.deliver(batch);
    }
    for envelope in batch {
        count_dropped(envelope.message.class(), "no_inbox", 1);
    }
}

fn report_forgery(shared: &Shared, link: &link::Link, claimed: NodeId) {
    let peer = link.peer.id;
    let shown = tls::peer_shown(&link.connection);
    shared.refusals.record(Refusal {
        direction: link.direction,
        peer: Some(peer),
        address: link.connection.remote_address(),
        reason: format!(
            "we dropped a message in the name of {claimed}, sent by {peer} with the {shown}"
        ),
    });
}
