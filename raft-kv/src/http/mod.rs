//! What the client port answers over HTTP/1.1 besides gRPC: health, version, metrics.

mod health;
pub(crate) mod metrics;
mod version;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::api::{self, Backend};

/// Everything that the client port serves.
pub(crate) fn router(backend: &Backend) -> Router {
    let plain = Router::new()
        .route("/health", get(health::health))
        .with_state(backend.clone())
        .route("/version", get(version::version))
        .route("/metrics", get(metrics::metrics));
    api::routes(backend)
        .into_axum_router()
        .merge(plain)
        .fallback(unknown)
}

/// What nobody answers: a method of gRPC is "unimplemented", a page is not found.
async fn unknown(request: Request) -> Response {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        let what = format!("raft-kv does not serve {}", request.uri().path());
        return tonic::Status::unimplemented(what).into_http();
    }
    let text = "not found; there are /health, /version and /metrics\n";
    (StatusCode::NOT_FOUND, text).into_response()
}
