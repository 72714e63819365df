//! `/version`: the versions of etcd whose interface is served.

use axum::Json;
use serde::Serialize;

use crate::api::EMULATED_VERSION;

/// Clients parse both as dotted integers.
#[derive(Debug, Serialize)]
pub(super) struct Version {
    etcdserver: &'static str,
    etcdcluster: &'static str,
}

/// The versions.
pub(super) async fn version() -> Json<Version> {
    Json(Version {
        etcdserver: EMULATED_VERSION,
        etcdcluster: "3.5.0",
    })
}
