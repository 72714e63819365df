//! The beginning of an established connection: who is at the other end, and
//! the hello of both sides.

use quinn::{Connection, RecvStream, SendStream};
use raft_core::{MessageClass, NodeId};

use crate::error::{CloseCode, Direction};
use crate::frame::{FrameBuilder, FrameError, FrameKind, FrameReader};
use crate::hello::{Hello, Versions};
use crate::identity::Identity;
use crate::link::Link;
use crate::outlet::prioritize;
use crate::shared::Shared;
use crate::telemetry::FailureReason;
use crate::tls;

/// A hello is short, also that of a later version.
const HELLO_LIMIT: usize = 64;

/// Both ends of what was opened for the hellos.
pub(crate) struct Opened {
    pub(crate) link: Link,
    pub(crate) control: SendStream,
    pub(crate) frames: FrameReader<RecvStream>,
    pub(crate) theirs: Hello,
    /// How often our certificate had changed before the one that we showed.
    pub(crate) own_renewals: u64,
    /// The message format that both sides speak.
    pub(crate) version: u8,
}

/// Why a connection ends that had just begun.
pub(crate) enum Parting {
    /// We refuse it.
    Refuse(CloseCode, FailureReason, String),
    /// It broke, or the other side refused.
    Lost(String),
}

/// Checks who is there, and exchanges hellos.
pub(crate) async fn open(
    shared: &Shared,
    connection: &Connection,
    named: Result<Identity, String>,
    dialled: Option<NodeId>,
    renewals: u64,
) -> Result<Opened, Parting> {
    let bad_name = |reason| Parting::Refuse(CloseCode::WrongNode, FailureReason::BadName, reason);
    let identity = named.map_err(bad_name)?;
    let shown = tls::peer_shown(connection);
    if let Some(refusal) = wrong_node(shared, &identity, dialled, &shown) {
        // Their hello shows that their handshake is complete; before that,
        // QUIC would not carry our reason to them. Who says none is refused too.
        let patience = shared.config.handshake_timeout / 2;
        let _theirs = tokio::time::timeout(patience, read_hello(connection)).await;
        return Err(refusal);
    }
    let Some(peer) = shared.peer(identity.node()) else {
        let reason = format!("{shown} names no peer of {}", shared.own);
        let code = CloseCode::UnknownNode;
        return Err(Parting::Refuse(code, FailureReason::NotAPeer, reason));
    };

    let mut control = connection.open_uni().await.map_err(lost)?;
    prioritize(&control, MessageClass::Control);
    let ours = Hello {
        boot: shared.boot,
        renewals,
        versions: Versions::OURS,
    };
    let mut frame = FrameBuilder::new(FrameKind::Hello, HELLO_LIMIT);
    ours.encode(frame.body());
    let frame = frame.finish(HELLO_LIMIT).map_err(malformed)?;
    control.write_chunk(frame).await.map_err(lost)?;
    let (frames, theirs) = read_hello(connection).await?;
    let version = agree(ours.versions, theirs.versions, &shown)?;
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
        theirs,
        own_renewals: renewals,
        version,
    })
}

/// The version to speak with the peer.
fn agree(ours: Versions, theirs: Versions, shown: &str) -> Result<u8, Parting> {
    ours.common(theirs).ok_or_else(|| {
        let reason = format!(
            "{shown}: its node speaks versions {theirs} of the messages, ours {ours}; \
             upgrade the older node first"
        );
        Parting::Refuse(CloseCode::Version, FailureReason::Version, reason)
    })
}

/// Refuses a certificate of another node than the one we dialled, or of our own.
fn wrong_node(
    shared: &Shared,
    found: &Identity,
    dialled: Option<NodeId>,
    shown: &str,
) -> Option<Parting> {
    let cluster = shared.own.cluster();
    let expected = match dialled {
        Some(node) if node != found.node() => format!("raft://{cluster}/{}", node.get()),
        _ if found.node() == shared.own.node() => "a node other than this one".into(),
        _ => return None,
    };
    Some(Parting::Refuse(
        CloseCode::WrongNode,
        FailureReason::WrongNode,
        format!("{shown} was shown, expected that of {expected}"),
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
    let hello = Hello::decode(&frame.body).ok_or_else(|| malformed("the hello is too short"))?;
    Ok((frames, hello))
}

fn lost(error: impl std::fmt::Display) -> Parting {
    Parting::Lost(error.to_string())
}

fn malformed(error: impl std::fmt::Display) -> Parting {
    let code = CloseCode::Protocol;
    Parting::Refuse(code, FailureReason::Protocol, error.to_string())
}
