//! How members and leaders are changed for a request, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use raft_core::{
    ChangeMembershipError, MemberInfo, Membership, MembershipChange, NodeId, TransferError,
};
use tokio::time::{sleep, timeout_at};
use tonic::Code;
use tracing::info;

use super::backend::Backend;
use super::deadline::Deadline;
use super::error::ApiError;
use crate::member::MemberContext;

/// Between two tries while another change is under way.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Why members or the leader were not changed; the texts are etcd's.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// No member has this number.
    #[error("member not found")]
    NotFound,
    /// It is a member already.
    #[error("member ID already exist")]
    Exists,
    /// Another member is reached there.
    #[error("Peer URLs already exists")]
    PeerUrlExists,
    /// Not one URL with a host and a port.
    #[error("given member URLs are invalid")]
    BadUrls,
    /// The member votes already.
    #[error("can only promote a learner member")]
    NotALearner,
    /// The learner lacks too much.
    #[error("can only promote a learner member which is in sync with leader")]
    LearnerNotReady,
    /// Too few voters would be left, or answer.
    #[error("re-configuration failed due to not enough started members")]
    NotEnoughStarted,
    /// The member asked does not lead.
    #[error("not leader")]
    NotLeader,
    /// The target cannot lead.
    #[error("bad leader transferee")]
    BadTransferee,
    /// The target did not take over in time.
    #[error("request timed out, leader transfer took too long")]
    TransferTimeout,
}

impl MemberError {
    pub(super) const fn code(self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::BadUrls => Code::InvalidArgument,
            Self::TransferTimeout => Code::Unavailable,
            _ => Code::FailedPrecondition,
        }
    }
}

/// The `host:port` of a peer URL; a path or anything else in it makes no sense.
pub(super) fn host_and_port(url: &str) -> Option<String> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let address = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = address.rsplit_once(':')?;
    let is_plain = !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']);
    let port: u16 = port.parse().ok()?;
    (is_plain && port != 0).then(|| address.to_owned())
}

impl Backend {
    /// Changes the members as `decide` says of those there are. Asks it again
    /// when something else was changed meanwhile.
    pub(super) async fn change_members(
        &self,
        deadline: Deadline,
        decide: impl FnMut(&Membership) -> Result<MembershipChange, ApiError>,
    ) -> Result<Arc<Membership>, ApiError> {
        self.try_change(deadline, decide).await?.map_err(refusal)
    }

    /// Lets a member vote. A learner does at once. One whose node lost its vote is
    /// taken in again: its old life leaves the quorum, the life in which it answers
    /// becomes a learner, and the leader lets that vote as soon as it has caught up.
    pub(super) async fn promote_member(
        &self,
        deadline: Deadline,
        id: u64,
    ) -> Result<Arc<Membership>, ApiError> {
        let node = NodeId::new(id);
        let change = MembershipChange::new;
        loop {
            let readmission = self.try_change(deadline, |_| Ok(change().readmit(node)));
            match readmission.await? {
                Ok(_) => return self.let_vote_when_caught_up(deadline, node).await,
                Err(ChangeMembershipError::SameLife { .. }) => {
                    let promote = |_: &Membership| Ok(change().promote(node));
                    return self.change_members(deadline, promote).await;
                }
                Err(ChangeMembershipError::StillVotes { .. }) => {
                    let demote = |_: &Membership| Ok(change().demote(node));
                    self.change_members(deadline, demote).await?;
                }
                Err(error) => return Err(refusal(error)),
            }
        }
    }

    async fn let_vote_when_caught_up(
        &self,
        deadline: Deadline,
        node: NodeId,
    ) -> Result<Arc<Membership>, ApiError> {
        self.change_members(deadline, |membership| {
            let info = membership.members().get(&node);
            let info = info.ok_or(MemberError::NotFound)?;
            let context = MemberContext {
                promote: true,
                ..MemberContext::of(info)
            };
            let info = MemberInfo {
                context: context.to_bytes(),
                ..info.clone()
            };
            Ok(MembershipChange::new().update(node, info))
        })
        .await
    }

    /// As `change_members`, with the reason in Raft's words.
    async fn try_change(
        &self,
        deadline: Deadline,
        mut decide: impl FnMut(&Membership) -> Result<MembershipChange, ApiError>,
    ) -> Result<Result<Arc<Membership>, ChangeMembershipError>, ApiError> {
        loop {
            // This member may have been cut off: the decision needs the latest members.
            self.linearize(deadline).await?;
            let change = decide(&self.status().raft.membership)?;
            let asked = self.node().change_membership(change);
            let error = match timeout_at(deadline.at(), asked).await {
                Ok(Ok(changed)) => return Ok(Ok(changed.membership)),
                Ok(Err(error)) => error,
                Err(_) => return Err(ApiError::Timeout),
            };
            let is_over = !is_worth_another_try(&error)
                || timeout_at(deadline.at(), sleep(RETRY_PAUSE)).await.is_err();
            if is_over {
                return Ok(Err(error));
            }
        }
    }

    /// Hands leadership to `to`, if this member leads.
    pub(super) async fn move_leader(&self, to: u64) -> Result<(), ApiError> {
        let target = NodeId::new(to);
        let error = match self.node().transfer_leadership(Some(target)).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        Err(match error {
            TransferError::NotLeader { .. } => MemberError::NotLeader.into(),
            TransferError::NotAVoter { .. } | TransferError::NoCandidate => {
                MemberError::BadTransferee.into()
            }
            TransferError::Stopped => ApiError::Stopped,
            _ => MemberError::TransferTimeout.into(),
        })
    }
}

/// Whether nothing was changed and the reason may pass.
const fn is_worth_another_try(error: &ChangeMembershipError) -> bool {
    matches!(
        error,
        ChangeMembershipError::NoLeader
            | ChangeMembershipError::InProgress { .. }
            | ChangeMembershipError::LeaderNotReady
            | ChangeMembershipError::Transferring
            | ChangeMembershipError::Superseded { .. }
    )
}

fn refusal(error: ChangeMembershipError) -> ApiError {
    info!(%error, "the members were not changed as a client asked");
    use ChangeMembershipError as Change;
    let in_words_of_etcd = match error {
        Change::NoLeader => return ApiError::NoLeader,
        Change::Stopped => return ApiError::Stopped,
        Change::Overloaded { .. } | Change::InProgress { .. } => return ApiError::TooManyRequests,
        Change::UnknownMember { .. } => MemberError::NotFound,
        Change::AlreadyMember { .. } => MemberError::Exists,
        Change::AlreadyVoter { .. } | Change::StillVotes { .. } | Change::SameLife { .. } => {
            MemberError::NotALearner
        }
        Change::NotCaughtUp { .. } | Change::NotAnswering { .. } => MemberError::LearnerNotReady,
        Change::NoVoterLeft | Change::QuorumUnavailable { .. } => MemberError::NotEnoughStarted,
        _ => return ApiError::Timeout,
    };
    ApiError::MembersUnchanged {
        error: in_words_of_etcd,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_url_is_a_scheme_a_host_and_a_port() {
        let good = ["http://h:1", "https://10.0.0.1:2380/", "http://[::1]:2380"];
        let found: Vec<_> = good.iter().filter_map(|url| host_and_port(url)).collect();
        assert_eq!(found, ["h:1", "10.0.0.1:2380", "[::1]:2380"]);

        for bad in [
            "h:1",
            "http://h",
            "http://:1",
            "http://h:0",
            "http://h:1/x",
            "ftp://h:1",
            "",
        ] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }
}
