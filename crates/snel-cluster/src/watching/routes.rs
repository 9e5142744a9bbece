//! What is where.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Router, http};
use tokio::sync::Semaphore;

use crate::security::token::TokenCheck;
use crate::watching::readiness::Readiness;
use crate::watching::shown::Document;
use crate::watching::{Source, door, events, metrics, page};

/// Watchers that may hold a stream of events at a time.
const WATCHERS: usize = 64;

/// What routes share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) source: Arc<dyn Source>,
    pub(super) readiness: Readiness,
    pub(super) watchers: Arc<Semaphore>,
}

/// All routes, guarded.
pub(super) fn routes(source: Arc<dyn Source>, readiness: Readiness, check: TokenCheck) -> Router {
    let watchers = Arc::new(Semaphore::new(WATCHERS));
    let shared = Shared { source, readiness, watchers };
    Router::new()
        .route("/", get(page))
        .route("/state.json", get(state))
        .route("/events", get(events::events))
        .route("/metrics", get(metrics))
        // What is not there is as closed as what is.
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(from_fn_with_state(check, door::guard))
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .layer(map_response(careful))
        .with_state(shared)
}

/// Nothing here may be kept, framed or taken for what it is not.
async fn careful<B>(mut response: http::Response<B>) -> http::Response<B> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    if shared.readiness.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match metrics::text(&shared.source.state()) {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// With curves, which are on the disk.
async fn document(shared: Shared) -> Result<Document, StatusCode> {
    let made = tokio::task::spawn_blocking(move || Document::with_past(&*shared.source)).await;
    made.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn state(State(shared): State<Shared>) -> Result<Json<Document>, StatusCode> {
    Ok(Json(document(shared).await?))
}

async fn page(State(shared): State<Shared>) -> Result<Response, StatusCode> {
    let page = page::html(&document(shared).await?);
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (CONTENT_SECURITY_POLICY, page::policy()),
    ];
    Ok((headers, page).into_response())
}
