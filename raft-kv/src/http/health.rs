//! `/health`: whether this member can serve, as etcd says it.

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::api::{Backend, Deadline};

/// Probes give up after seconds; the answer must come earlier than that.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a probe asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Probe {
    /// Enough that this member can read what it has.
    #[serde(default)]
    serializable: bool,
}

/// The answer. Both fields are texts, because etcd's are.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    health: &'static str,
    reason: String,
}

/// Healthy is a member that can read linearizably, and has not failed.
pub(super) async fn health(
    State(backend): State<Backend>,
    Query(probe): Query<Probe>,
) -> (StatusCode, Json<Health>) {
    if let Some(failure) = backend.status().failure {
        return unhealthy(failure);
    }
    if probe.serializable {
        return healthy();
    }
    match backend.linearize(Deadline::after(PATIENCE)).await {
        Ok(()) => healthy(),
        Err(error) => unhealthy(error.to_string()),
    }
}

fn healthy() -> (StatusCode, Json<Health>) {
    let health = Health {
        health: "true",
        reason: String::new(),
    };
    (StatusCode::OK, Json(health))
}

fn unhealthy(reason: String) -> (StatusCode, Json<Health>) {
    let health = Health {
        health: "false",
        reason,
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(health))
}
