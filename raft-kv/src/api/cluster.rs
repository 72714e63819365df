//! The service Cluster: who belongs to the cluster.
//!
//! A member is always added as a learner first, because a voter that does not
//! run, or whose address has a typo, could cost the cluster its quorum. One that
//! was not asked for as a learner votes as soon as it has caught up, without
//! further ado. Its number is one that no member ever had.
//!
//! A member whose node lost its vote runs on without one, as another replica under
//! the same number. Promoting it takes it in again.

use raft_core::{MemberInfo, Membership, MembershipChange, NodeId};
use tonic::{Request, Response, Status, async_trait};

use super::backend::Backend;
use super::error::ApiError;
use super::members::{MemberError, host_and_port};
use crate::member::{self, MemberContext};
use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::cluster_server;

/// The service.
pub(super) struct Cluster {
    backend: Backend,
}

impl Cluster {
    /// Over `backend`.
    pub(super) const fn new(backend: Backend) -> Self {
        Self { backend }
    }

    async fn header(&self) -> Result<Option<pb::ResponseHeader>, ApiError> {
        let revision = self.backend.revision().await?;
        Ok(Some(self.backend.header(revision)))
    }
}

/// The member with this number.
fn find(membership: &Membership, id: u64) -> Result<(NodeId, &MemberInfo), ApiError> {
    let node = NodeId::new(id);
    let info = membership.members().get(&node);
    Ok((node, info.ok_or(MemberError::NotFound)?))
}

/// Where the member is to be reached; no other member may be there.
fn new_address(membership: &Membership, own: NodeId, urls: &[String]) -> Result<String, ApiError> {
    let [url] = urls else {
        return Err(MemberError::BadUrls.into());
    };
    let address = host_and_port(url).ok_or(MemberError::BadUrls)?;
    let mut others = membership
        .members()
        .iter()
        .filter(|(node, _)| **node != own);
    if others.any(|(_, info)| info.address == address) {
        return Err(MemberError::PeerUrlExists.into());
    }
    Ok(address)
}

/// A learner at `urls`, under a number that was never used.
fn addition(
    membership: &Membership,
    request: &pb::MemberAddRequest,
) -> Result<(NodeId, MembershipChange), ApiError> {
    let node = NodeId::new(membership.highest().get() + 1);
    let context = MemberContext {
        promote: !request.is_learner,
        ..MemberContext::default()
    };
    let info = MemberInfo {
        address: new_address(membership, node, &request.peer_urls)?,
        context: context.to_bytes(),
        ..MemberInfo::default()
    };
    Ok((node, MembershipChange::new().add_learner(node, info)))
}

fn relocation(
    membership: &Membership,
    request: &pb::MemberUpdateRequest,
) -> Result<MembershipChange, ApiError> {
    let (node, info) = find(membership, request.id)?;
    let info = MemberInfo {
        address: new_address(membership, node, &request.peer_urls)?,
        ..info.clone()
    };
    Ok(MembershipChange::new().update(node, info))
}

#[async_trait]
impl cluster_server::Cluster for Cluster {
    async fn member_add(
        &self,
        request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        let deadline = self.backend.admit(request.metadata())?;
        let request = request.into_inner();
        let mut added = NodeId::default();
        let membership = self
            .backend
            .change_members(deadline, |membership| {
                let (node, change) = addition(membership, &request)?;
                added = node;
                Ok(change)
            })
            .await?;
        let members = member::list(&membership);
        let member = members.iter().find(|m| m.id == added.get()).cloned();
        Ok(Response::new(pb::MemberAddResponse {
            header: self.header().await?,
            member,
            members,
        }))
    }

    async fn member_remove(
        &self,
        request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        let deadline = self.backend.admit(request.metadata())?;
        let id = request.into_inner().id;
        let membership = self
            .backend
            .change_members(deadline, |membership| {
                let (node, _) = find(membership, id)?;
                Ok(MembershipChange::new().remove(node))
            })
            .await?;
        Ok(Response::new(pb::MemberRemoveResponse {
            header: self.header().await?,
            members: member::list(&membership),
        }))
    }

    async fn member_update(
        &self,
        request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        let deadline = self.backend.admit(request.metadata())?;
        let request = request.into_inner();
        let membership = self
            .backend
            .change_members(deadline, |membership| relocation(membership, &request))
            .await?;
        Ok(Response::new(pb::MemberUpdateResponse {
            header: self.header().await?,
            members: member::list(&membership),
        }))
    }

    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        let deadline = self.backend.admit(request.metadata())?;
        if request.into_inner().linearizable {
            self.backend.linearize(deadline).await?;
        }
        Ok(Response::new(pb::MemberListResponse {
            header: self.header().await?,
            members: member::list(&self.backend.status().raft.membership),
        }))
    }

    async fn member_promote(
        &self,
        request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        let deadline = self.backend.admit(request.metadata())?;
        let id = request.into_inner().id;
        let membership = self.backend.promote_member(deadline, id).await?;
        Ok(Response::new(pb::MemberPromoteResponse {
            header: self.header().await?,
            members: member::list(&membership),
        }))
    }
}
