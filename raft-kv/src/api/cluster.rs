//! The service Cluster: MemberList. Changes of membership come later.

use tonic::{Request, Response, Status, async_trait};

use super::backend::Backend;
use crate::member;
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
}

#[async_trait]
impl cluster_server::Cluster for Cluster {
    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        let deadline = self.backend.admit(request.metadata())?;
        if request.into_inner().linearizable {
            self.backend.linearize(deadline).await?;
        }
        let header = self.backend.header(self.backend.store().revision());
        Ok(Response::new(pb::MemberListResponse {
            header: Some(header),
            members: member::list(&self.backend.status().raft.membership),
        }))
    }
}
