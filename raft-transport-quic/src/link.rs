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
use quinn::{Connection, ConnectionError, RecvStream, SendStream, WriteError};
use raft_core::{Envelope, MessageClass, NodeId};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::{CloseCode, Direction, Refusal};
use crate::frame::{FrameBuilder, FrameError, FrameKind, FrameReader};
use crate::identity::Identity;
use crate::peer::{Current, Peer, class_name, count_dropped};
use crate::server::deliver;
use crate::shared::Shared;
use crate::silence;
use crate::snapshot;
use crate::tls;
use crate::traffic::Traffic;
use crate::wire::{self, Hello, WireError};

/// A connection that gave way to another is still read for so long.
const LINGER: Duration = Duration::from_millis(500);
/// How much goes into one frame, if it consists of several messages.
const FRAME_TARGET: usize = 256 * 1024;
const HELLO_LIMIT: usize = 64;

/// A connection whose other end is known.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) peer: Arc<Peer>,
    pub(crate) direction: Direction,
}

/// Both ends of what was opened for the hellos.
struct Opened {
    link: Link,
    control: SendStream,
    frames: FrameReader<RecvStream>,
    peer_boot: u64,
}

/// Why a connection ends that had just begun.
enum Parting {
    /// We refuse it.
    Refuse(CloseCode, String),
    /// It broke, or the other side refused.
    Lost(String),
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

/// Runs a connection to its end. `dialled` names whom we wanted to reach, if
/// it was us who dialled.
pub(crate) async fn run(shared: &Arc<Shared>, connection: Connection, dialled: Option<NodeId>) {
    let direction = match dialled {
        Some(_) => Direction::Outgoing,
        None => Direction::Incoming,
    };
    let named = tls::peer_identity(&connection);
    let node = dialled.or(named.as_ref().ok().map(Identity::node));
    let limit = shared.config.handshake_timeout;
    let opening = open(shared, &connection, named, dialled);
    let parting = match tokio::time::timeout(limit, opening).await {
        Ok(Ok(opened)) => return serve(shared, opened).await,
        Ok(Err(parting)) => parting,
        Err(_) => Parting::Lost(format!("no hello within {limit:?}")),
    };
    let address = connection.remote_address();
    match parting {
        Parting::Refuse(code, reason) => {
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
            if let Some(error) = connection.close_reason() {
                shared.refusals.record_end(direction, node, address, &error);
            }
            connection.close(CloseCode::Replaced.code(), reason.as_bytes());
        }
    }
}

/// Checks who is there, and exchanges hellos.
async fn open(
    shared: &Shared,
    connection: &Connection,
    named: Result<Identity, String>,
    dialled: Option<NodeId>,
) -> Result<Opened, Parting> {
    let identity = named.map_err(|reason| Parting::Refuse(CloseCode::WrongNode, reason))?;
    if let Some(refusal) = wrong_node(shared, &identity, dialled) {
        // Their hello shows that their handshake is complete; before that,
        // QUIC would not carry our reason to them.
        let _theirs = read_hello(connection).await;
        return Err(refusal);
    }
    let Some(peer) = shared.peer(identity.node()) else {
        let reason = format!(
            "certificate names {identity}, which is no peer of {}",
            shared.own
        );
        return Err(Parting::Refuse(CloseCode::UnknownNode, reason));
    };

    let mut control = connection.open_uni().await.map_err(lost)?;
    prioritize(&control, MessageClass::Control);
    let boot = shared.boot;
    let hello = encode_frame(FrameKind::Hello, &Hello { boot }, HELLO_LIMIT).map_err(malformed)?;
    control.write_chunk(hello).await.map_err(lost)?;
    let (frames, hello) = read_hello(connection).await?;
    let link = Link {
        connection: connection.clone(),
        peer,
        direction: match dialled {
            Some(_) => Direction::Outgoing,
            None => Direction::Incoming,
        },
    };
    Ok(Opened {
        link,
        control,
        frames: frames.with_limit(shared.config.max_frame),
        peer_boot: hello.boot,
    })
}

/// Refuses a certificate of another node than the one we dialled, or of our own.
fn wrong_node(shared: &Shared, found: &Identity, dialled: Option<NodeId>) -> Option<Parting> {
    let cluster = shared.own.cluster();
    let expected = match dialled {
        Some(node) if node != found.node() => format!("raft://{cluster}/{}", node.get()),
        _ if found.node() == shared.own.node() => "a node other than this one".into(),
        _ => return None,
    };
    Some(Parting::Refuse(
        CloseCode::WrongNode,
        format!("certificate names {found}, expected {expected}"),
    ))
}

async fn read_hello(connection: &Connection) -> Result<(FrameReader<RecvStream>, Hello), Parting> {
    let stream = connection.accept_uni().await.map_err(lost)?;
    let mut frames = FrameReader::new(stream, HELLO_LIMIT);
    let frame = match frames.next().await {
        Ok(Some(frame)) if frame.kind == FrameKind::Hello => frame,
        Ok(_) => return Err(malformed("the first frame is no hello")),
        Err(FrameError::Io(error)) => return Err(lost(error)),
        Err(error) => return Err(malformed(error)),
    };
    let hello = wire::decode(&frame.body).map_err(malformed)?;
    Ok((frames, hello))
}

/// Writes and reads until the connection ends or gives way to another.
async fn serve(shared: &Arc<Shared>, opened: Opened) {
    let link = Arc::new(opened.link);
    let connection = &link.connection;
    let retire = watch::Sender::new(false);
    let mut retired = retire.subscribe();
    let adopted = link.peer.adopt(Current {
        connection: connection.clone(),
        dialled_by: match link.direction {
            Direction::Outgoing => shared.own.node(),
            Direction::Incoming => link.peer.id,
        },
        peer_boot: opened.peer_boot,
        retire: retire.clone(),
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(read(Arc::clone(shared), Arc::clone(&link), opened.frames));
    tasks.spawn(accept_streams(Arc::clone(shared), Arc::clone(&link)));
    if adopted {
        shared.refusals.forget(link.peer.id);
        link.peer.drop_stale(shared.config.stale_after);
        let writer = |class| Writer {
            shared: Arc::clone(shared),
            link: Arc::clone(&link),
            class,
            retired: retire.subscribe(),
        };
        tasks.spawn(writer(MessageClass::Control).run(Some(opened.control)));
        tasks.spawn(writer(MessageClass::Append).run(None));
    } else {
        retire.send_replace(true);
    }
    metrics::gauge!("raft_transport_connections").increment(1.0);
    let (peer, direction) = (link.peer.id, link.direction);
    tracing::info!(%peer, %direction, address = %connection.remote_address(), adopted, "connected");

    let ended = tokio::select! {
        error = connection.closed() => error,
        () = async { drop(retired.wait_for(|retired| *retired).await) } => {
            wind_down(connection).await
        }
        () = silence::noticed(connection, shared.config.idle_timeout) => {
            connection.close(CloseCode::Replaced.code(), b"the peer was silent");
            ConnectionError::TimedOut
        }
    };
    link.peer.release(connection);
    metrics::gauge!("raft_transport_connections").decrement(1.0);
    tracing::info!(%peer, %direction, reason = %ended, "connection ended");
    let address = connection.remote_address();
    shared
        .refusals
        .record_end(direction, Some(peer), address, &ended);
}

/// Leaves a connection that gave way open for what is still under way.
async fn wind_down(connection: &Connection) -> ConnectionError {
    if let Ok(error) = tokio::time::timeout(LINGER, connection.closed()).await {
        return error;
    }
    connection.close(CloseCode::Replaced.code(), b"another connection stays");
    connection.closed().await
}

async fn accept_streams(shared: Arc<Shared>, link: Arc<Link>) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            stream = link.connection.accept_uni() => {
                let Ok(stream) = stream else { return };
                let frames = FrameReader::new(stream, shared.config.max_frame);
                tasks.spawn(read(Arc::clone(&shared), Arc::clone(&link), frames));
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
async fn read(shared: Arc<Shared>, link: Arc<Link>, mut frames: FrameReader<RecvStream>) {
    let Err(error) = read_messages(&shared, &link, &mut frames).await else {
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
    frames: &mut FrameReader<RecvStream>,
) -> Result<(), StreamError> {
    let traffic = Traffic::received();
    while let Some(frame) = frames.next().await? {
        if frame.kind != FrameKind::Messages {
            return Err(StreamError::Unexpected(frame.kind));
        }
        traffic.count(frame.body.len());
        deliver(shared, link, wire::decode_batch_of(&frame.body)?);
    }
    Ok(())
}

/// Empties one class's queue into one stream.
struct Writer {
    shared: Arc<Shared>,
    link: Arc<Link>,
    class: MessageClass,
    retired: watch::Receiver<bool>,
}

impl Writer {
    async fn run(mut self, stream: Option<SendStream>) {
        if let Err(error) = self.write(stream).await {
            tracing::debug!(peer = %self.link.peer.id, %error, "a stream broke");
            self.link
                .connection
                .close(CloseCode::Replaced.code(), b"a stream broke");
        }
    }

    /// Ends cleanly, between two frames, when the connection is retired.
    async fn write(&mut self, stream: Option<SendStream>) -> Result<(), WriteError> {
        let mut stream = match stream {
            Some(stream) => stream,
            None => self.link.connection.open_uni().await?,
        };
        prioritize(&stream, self.class);
        let traffic = Traffic::sent();
        loop {
            let batch = tokio::select! {
                biased;
                _ = self.retired.wait_for(|retired| *retired) => return Ok(()),
                batch = self.link.peer.queue(self.class).take(FRAME_TARGET) => batch,
            };
            for mut frame in self.frames(&batch) {
                traffic.count(frame.iter().map(Bytes::len).sum());
                stream.write_all_chunks(&mut frame).await?;
            }
        }
    }

    /// The batch as one frame, in parts; as one frame each if that would be too long.
    fn frames(&self, batch: &[Envelope]) -> Vec<Vec<Bytes>> {
        match encode_messages(batch, self.shared.config.max_frame) {
            Ok(frame) => vec![frame],
            Err(_) if batch.len() > 1 => batch.chunks(1).flat_map(|one| self.frames(one)).collect(),
            Err(reason) => {
                count_dropped(self.class, "too_large", 1);
                tracing::error!(
                    peer = %self.link.peer.id,
                    message = batch.first().map(|envelope| envelope.message.name()),
                    reason,
                    "a message cannot be sent; raise max_frame on all nodes"
                );
                Vec::new()
            }
        }
    }
}

fn encode_messages(batch: &[Envelope], limit: usize) -> Result<Vec<Bytes>, String> {
    let mut frame = FrameBuilder::new(FrameKind::Messages, 0);
    wire::encode_batch_in(batch, &mut frame).map_err(|error| error.to_string())?;
    frame.finish_parts(limit).map_err(|error| error.to_string())
}

/// One value of `wire` as a frame.
pub(crate) fn encode_frame<T: serde::Serialize>(
    kind: FrameKind,
    value: &T,
    limit: usize,
) -> Result<Bytes, String> {
    let mut frame = FrameBuilder::new(kind, HELLO_LIMIT);
    wire::encode(value, frame.body()).map_err(|error| error.to_string())?;
    frame.finish(limit).map_err(|error| error.to_string())
}

/// Gives a stream its class's place in line.
pub(crate) fn prioritize(stream: &SendStream, class: MessageClass) {
    let priority = match class {
        MessageClass::Control => 2,
        MessageClass::Append => 1,
        MessageClass::Snapshot => 0,
    };
    // Fails only on a stream that ended, which the next write will tell.
    if stream.set_priority(priority).is_err() {
        tracing::debug!(class = class_name(class), "a stream ended early");
    }
}

fn lost(error: impl std::fmt::Display) -> Parting {
    Parting::Lost(error.to_string())
}

fn malformed(error: impl std::fmt::Display) -> Parting {
    Parting::Refuse(CloseCode::Protocol, error.to_string())
}
