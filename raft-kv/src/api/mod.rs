//! The gRPC services of etcd's v3 interface, one file each.
//!
//! A service turns messages into the requests of [`model`](crate::model),
//! asks the [`Backend`], and turns the answer into a message. What is refused
//! is refused with etcd's code and text: clients compare both.

mod backend;
mod cluster;
mod convert;
mod deadline;
mod error;
mod kv;
mod maintenance;
mod members;

use tonic::service::Routes;

pub use backend::{Backend, Limits};
pub use deadline::Deadline;
pub use error::ApiError;
pub use maintenance::EMULATED_VERSION;
pub use members::MemberError;

use crate::proto::etcdserverpb::cluster_server::ClusterServer;
use crate::proto::etcdserverpb::kv_server::KvServer;
use crate::proto::etcdserverpb::maintenance_server::MaintenanceServer;

/// Room for what is around the request itself, so that a request slightly too
/// large is refused by our check with etcd's text and not by the decoder.
const ENVELOPE_BYTES: usize = 512 << 10;

/// All services over one backend.
pub fn routes(backend: &Backend) -> Routes {
    let largest = backend.limits().max_request_bytes + ENVELOPE_BYTES;
    let kv = KvServer::new(kv::Kv::new(backend.clone()))
        .max_decoding_message_size(largest)
        .max_encoding_message_size(usize::MAX);
    let cluster = ClusterServer::new(cluster::Cluster::new(backend.clone()));
    let maintenance = MaintenanceServer::new(maintenance::Maintenance::new(backend.clone()));
    Routes::from(axum::Router::new())
        .add_service(kv)
        .add_service(cluster)
        .add_service(maintenance)
}
