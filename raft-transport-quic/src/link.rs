//! One established connection: who is at the other end, the hello of both
//! sides, and the tasks that write and read until it ends.
//!
//! ```text
//! each side opens     priority
//! control stream      high      hello, then urgent messages
//! append stream       middle    entries and forwarded proposals
//! snapshot streams    low       one per snapshot; see `snapshot`
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use raft_core::{MessageClass, NodeId};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::{CloseCode, Direction, Refusal};
use crate::frame::{FrameBuilder, FrameError, FrameKind, FrameReader};
use crate::identity::Identity;
use crate::opening::{self, Opened, Parting};
use crate::outlet::Outlet;
use crate::peer::{Current, NO_PEER, Peer};
use crate::refusals::printable_end;
use crate::server::deliver;
use crate::shared::Shared;
use crate::silence;
use crate::snapshot;
use crate::telemetry::{self, FailureReason, Open, count_handshake_failure};
use crate::tls;
use crate::traffic::Traffic;
use crate::vigil;
use crate::wire::{self, WireError};

/// A connection that gave way to another is still read for so long.
const LINGER: Duration = Duration::from_millis(500);
/// Room for a value of `wire` beside messages, most of which are short.
const SMALL: usize = 64;

/// A connection whose other end is known.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) peer: Arc<Peer>,
    pub(crate) direction: Direction,
}

/// What makes a stream, and with it the connection, useless.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("a {0:?} frame on a stream of messages")]
    Unexpected(FrameKind),
}

/// Whom we wanted to reach, and where it was said to be.
pub(crate) struct Dialled {
    pub(crate) node: NodeId,
    pub(crate) address: String,
}

/// Runs a connection to its end. `dialled` is there if it was us who dialled; `renewals` counts the changes of our certificate
/// before the one that we showed.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    connection: Connection,
    dialled: Option<Dialled>,
    renewals: u64,
) {
    let (wanted, address) = dialled.map(|d| (d.node, d.address)).unzip();
    let direction = match wanted {
        Some(_) => Direction::Outgoing,
        None => Direction::Incoming,
    };
    let named = tls::peer_identity(&connection);
    let node = wanted.or(named.as_ref().ok().map(Identity::node));
    let limit = shared.config.handshake_timeout;
    let opening = opening::open(shared, &connection, named, wanted, renewals);
    let parting = match tokio::time::timeout(limit, opening).await {
        Ok(Ok(opened)) => return serve(shared, opened, address).await,
        Ok(Err(parting)) => parting,
        Err(_) => Parting::Lost(format!("no hello within {limit:?}")),
    };
    let address = connection.remote_address();
    match parting {
        Parting::Refuse(code, why, reason) => {
            count_handshake_failure(direction, why);
            connection.close(code.code(), reason.as_bytes());
            shared.refusals.record(Refusal {
                direction,
                peer: node,
                address,
                reason: format!("we refused the peer: {reason}"),
            });
        }
        Parting::Lost(reason) => {
            tracing::debug!(peer = ?node, %address, reason, "connection lost before its hello");
            match connection.close_reason() {
                Some(error) => {
                    let refusals = &shared.refusals;
                    refusals.record_handshake(direction, node, address, &error);
                }
                None => count_handshake_failure(direction, FailureReason::Timeout),
            }
            connection.close(CloseCode::Replaced.code(), reason.as_bytes());
        }
    }
}

/// Writes and reads until the connection ends or gives way to another.
async fn serve(shared: &Arc<Shared>, opened: Opened, dialled_at: Option<String>) {
    let link = Arc::new(opened.link);
    // Before it takes another one's place, and before anything is read.
    if !vigil::admits(shared, &link) {
        return;
    }
    let connection = &link.connection;
    let retire = watch::Sender::new(false);
    let mut retired = retire.subscribe();
    let adopted = link.peer.adopt(Current {
        connection: connection.clone(),
        dialled_by: match link.direction {
            Direction::Outgoing => shared.own.node(),
            Direction::Incoming => link.peer.id,
        },
        peer_boot: opened.theirs.boot,
        own_renewals: opened.own_renewals,
        peer_renewals: opened.theirs.renewals,
        version: opened.version,
        dialled_at,
        retire: retire.clone(),
    });
    if adopted {
        // Before anything is read, which may be refused at once: that is to be remembered.
        shared.refusals.forget(link.peer.id);
    }
    let mut tasks = JoinSet::new();
    let control = MessageClass::Control;
    tasks.spawn(read(
        Arc::clone(shared),
        Arc::clone(&link),
        control,
        opened.frames,
    ));
    tasks.spawn(accept_streams(Arc::clone(shared), Arc::clone(&link)));
    tasks.spawn(telemetry::sample(Arc::clone(&link)));
    tasks.spawn(vigil::watch_over_peer(
        Arc::clone(shared),
        Arc::clone(&link),
    ));
    if adopted {
        link.peer.drop_stale(shared.config.stale_after);
        let mut writer = |class, stream| {
            let outlet = Outlet::new(link.peer.id, class, shared.config.max_frame);
            let outlet = Arc::new(outlet);
            link.peer.open(class, &outlet, connection);
            tasks.spawn(write(
                Arc::clone(&link),
                outlet,
                class,
                stream,
                retire.subscribe(),
            ));
        };
        writer(MessageClass::Control, Some(opened.control));
        writer(MessageClass::Append, None);
    } else {
        retire.send_replace(true);
    }
    let open = Open::of_all();
    let (peer, direction) = (link.peer.id, link.direction);
    tracing::info!(%peer, %direction, address = %connection.remote_address(), adopted, "connected");

    let ended = tokio::select! {
        error = connection.closed() => error,
        () = async { drop(retired.wait_for(|retired| *retired).await) } => {
            wind_down(&link).await
        }
        () = silence::noticed(connection, shared.config.idle_timeout) => {
            connection.close(CloseCode::Replaced.code(), b"the peer was silent");
            ConnectionError::TimedOut
        }
    };
    link.peer.release(connection);
    drop(open);
    let reason = printable_end(&ended);
    tracing::info!(%peer, %direction, reason, "connection ended");
    let address = connection.remote_address();
    shared
        .refusals
        .record_end(direction, Some(peer), address, &ended);
}

/// Leaves a connection that gave way open for what is still under way, as long as
/// its peer is one.
async fn wind_down(link: &Link) -> ConnectionError {
    let connection = &link.connection;
    tokio::select! {
        error = connection.closed() => return error,
        () = tokio::time::sleep(LINGER) => {
            connection.close(CloseCode::Replaced.code(), b"another connection stays");
        }
        () = link.peer.removed() => {
            connection.close(CloseCode::Moved.code(), NO_PEER.as_bytes());
        }
    }
    connection.closed().await
}

async fn accept_streams(shared: Arc<Shared>, link: Arc<Link>) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            stream = link.connection.accept_uni() => {
                let Ok(stream) = stream else { return };
                let frames = FrameReader::new(stream, shared.config.max_frame);
                let append = MessageClass::Append;
                tasks.spawn(read(Arc::clone(&shared), Arc::clone(&link), append, frames));
            }
            stream = link.connection.accept_bi() => {
                let Ok((send, receive)) = stream else { return };
                tasks.spawn(snapshot::receive(
                    Arc::clone(&shared), Arc::clone(&link), send, receive,
                ));
            }
            Some(_ended) = tasks.join_next() => {}
        }
    }
}

/// Reads one stream of messages to its end; nonsense ends the connection.
async fn read(
    shared: Arc<Shared>,
    link: Arc<Link>,
    class: MessageClass,
    mut frames: FrameReader<RecvStream>,
) {
    let Err(error) = read_messages(&shared, &link, class, &mut frames).await else {
        return;
    };
    let broken = matches!(
        error,
        StreamError::Frame(FrameError::Io(_) | FrameError::Truncated { .. })
    );
    if broken {
        link.connection
            .close(CloseCode::Replaced.code(), b"a stream broke");
        return;
    }
    let reason = error.to_string();
    link.connection
        .close(CloseCode::Protocol.code(), reason.as_bytes());
    shared.refusals.record(Refusal {
        direction: link.direction,
        peer: Some(link.peer.id),
        address: link.connection.remote_address(),
        reason: format!("we refused what the peer sent: {reason}"),
    });
}

async fn read_messages(
    shared: &Shared,
    link: &Link,
    class: MessageClass,
    frames: &mut FrameReader<RecvStream>,
) -> Result<(), StreamError> {
    let traffic = Traffic::received(class, link.peer.id);
    while let Some(frame) = frames.next().await? {
        if frame.kind != FrameKind::Messages {
            return Err(StreamError::Unexpected(frame.kind));
        }
        traffic.count(frame.body.len());
        // Frames that came before may wait here, which the end of the connection leaves.
        if link.peer.is_removed() {
            return Ok(());
        }
        deliver(shared, link, wire::decode_batch_of(&frame.body)?);
    }
    Ok(())
}

/// Empties one class's queue into its stream, which is to be opened if there is none.
async fn write(
    link: Arc<Link>,
    outlet: Arc<Outlet>,
    class: MessageClass,
    stream: Option<SendStream>,
    retired: watch::Receiver<bool>,
) {
    let queue = link.peer.queue(class);
    let writing = async {
        let stream = match stream {
            Some(stream) => stream,
            None => link.connection.open_uni().await?,
        };
        outlet.run(stream, queue, retired).await
    };
    if let Err(error) = writing.await {
        tracing::debug!(peer = %link.peer.id, %error, "a stream broke");
        link.connection
            .close(CloseCode::Replaced.code(), b"a stream broke");
    }
}

/// One value of `wire` as a frame.
pub(crate) fn encode_frame<T: serde::Serialize>(
    kind: FrameKind,
    value: &T,
    limit: usize,
) -> Result<Bytes, String> {
    let mut frame = FrameBuilder::new(kind, SMALL);
    wire::encode(value, frame.body()).map_err(|error| error.to_string())?;
    frame.finish(limit).map_err(|error| error.to_string())
}
