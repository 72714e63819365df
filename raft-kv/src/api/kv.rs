//! The service KV: Range, Put, DeleteRange and Txn. Compact comes with history that can be dropped.

use tonic::{Request, Response, Status, async_trait};

use super::backend::{Backend, Freshness};
use super::convert;
use super::error::ApiError;
use crate::command::{Command, CommandResult};
use crate::mvcc;
use crate::proto::etcdserverpb as pb;
use crate::proto::etcdserverpb::kv_server;

/// The service.
pub(super) struct Kv {
    backend: Backend,
}

impl Kv {
    /// Over `backend`.
    pub(super) const fn new(backend: Backend) -> Self {
        Self { backend }
    }
}

#[async_trait]
impl kv_server::Kv for Kv {
    async fn range(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<pb::RangeResponse>, Status> {
        let deadline = self.backend.admit(request.metadata())?;
        let request = request.into_inner();
        let freshness = Freshness::of(request.serializable);
        let range = convert::range(request)?;
        let (result, revision) = self.backend.range(range, freshness, deadline).await?;
        let header = self.backend.header(revision);
        Ok(Response::new(convert::range_response(Some(header), result)))
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let deadline = self.backend.admit(request.metadata())?;
        let put = convert::put(request.into_inner())?;
        let outcome = self.backend.write(Command::Put(put), deadline).await?;
        let CommandResult::Put(result) = outcome.result else {
            return Err(unexpected("a put").into());
        };
        let header = self.backend.header(outcome.revision);
        Ok(Response::new(convert::put_response(Some(header), result)))
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let deadline = self.backend.admit(request.metadata())?;
        let delete = convert::delete_range(request.into_inner())?;
        let command = Command::DeleteRange(delete);
        let outcome = self.backend.write(command, deadline).await?;
        let CommandResult::DeleteRange(result) = outcome.result else {
            return Err(unexpected("a delete").into());
        };
        let header = self.backend.header(outcome.revision);
        Ok(Response::new(convert::delete_range_response(
            Some(header),
            result,
        )))
    }

    async fn txn(
        &self,
        request: Request<pb::TxnRequest>,
    ) -> Result<Response<pb::TxnResponse>, Status> {
        let deadline = self.backend.admit(request.metadata())?;
        let request = request.into_inner();
        let freshness = Freshness::of(convert::is_serializable(&request));
        let command = Command::Txn(convert::txn(request)?);
        // What the store would refuse whatever it holds costs no log entry.
        mvcc::check(&command, self.backend.limits().max_txn_ops).map_err(ApiError::from)?;
        let (result, revision) = match command {
            Command::Txn(txn) if mvcc::is_read_only(&txn) => {
                self.backend.read_txn(txn, freshness, deadline).await?
            }
            writing => {
                let outcome = self.backend.write(writing, deadline).await?;
                let CommandResult::Txn(result) = outcome.result else {
                    return Err(unexpected("a transaction").into());
                };
                (result, outcome.revision)
            }
        };
        let header = self.backend.header(revision);
        Ok(Response::new(convert::txn_response(Some(header), result)))
    }

    async fn compact(
        &self,
        _request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        Err(ApiError::Unsupported("compaction: all revisions are kept").into())
    }
}

fn unexpected(to: &str) -> ApiError {
    ApiError::Answer(format!("it is not one to {to}"))
}
