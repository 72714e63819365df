//! The service Maintenance: Status and MoveLeader. The rest comes with what there is to maintain.

use tonic::{Request, Response, Status, async_trait};

use super::backend::Backend;
use super::error::ApiError;
use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::maintenance_server;

/// The version of etcd whose interface clients find here. Some decide by it
/// what they may ask for. Our own version is in the log.
pub const EMULATED_VERSION: &str = "3.5.16";

/// The service.
pub(super) struct Maintenance {
    backend: Backend,
}

impl Maintenance {
    /// Over `backend`.
    pub(super) const fn new(backend: Backend) -> Self {
        Self { backend }
    }
}

#[async_trait]
impl maintenance_server::Maintenance for Maintenance {
    async fn move_leader(
        &self,
        request: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        self.backend.admit(request.metadata())?;
        let to = request.into_inner().target_id;
        self.backend.move_leader(to).await?;
        let header = self.backend.header(self.backend.revision().await?);
        Ok(Response::new(pb::MoveLeaderResponse {
            header: Some(header),
        }))
    }

    async fn status(
        &self,
        _request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        let store = self.backend.store();
        // Asked before the node, whose status follows a moment later.
        let applied = store.last_applied().index;
        let header = self.backend.header(self.backend.revision().await?);
        let size = store.size_on_disk().map_err(ApiError::from)?;
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let status = self.backend.status();
        let raft = status.raft;
        let mut errors = Vec::new();
        if raft.leader.is_none() {
            errors.push(Status::from(ApiError::NoLeader).message().to_owned());
        }
        errors.extend(status.failure);
        Ok(Response::new(pb::StatusResponse {
            raft_term: header.raft_term,
            is_learner: !raft.membership.is_voter(raft.replica.node),
            header: Some(header),
            version: EMULATED_VERSION.to_owned(),
            db_size: size,
            db_size_in_use: size,
            leader: raft.leader.map_or(0, |leader| leader.get()),
            // What is applied is committed, even if the status does not say so yet.
            raft_index: raft.commit_index.max(applied).get(),
            raft_applied_index: applied.get(),
            errors,
        }))
    }
}
