//! The requests and what they do.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::{Deserialize, Serialize};

use crate::component::MAX_COMPONENT;
use crate::delivery::{Board, Order, OrderError, SinkStatus};
use crate::error_chain::chain;
use crate::event::Position;
use crate::head::HeadReport;
use crate::sink_store::{ParkedEvent, VersionRecord};

/// What the admin API speaks for.
#[derive(Clone)]
pub struct Admin {
    board: Board,
    metrics: PrometheusHandle,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("board", &self.board).finish_non_exhaustive()
    }
}

/// The answer to `GET /status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusReport {
    /// The version of hydrant.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// The stream's name.
    pub stream: String,
    /// Its epoch.
    pub epoch: u64,
    /// What is known of the head; none if the stream is not one of state events.
    pub head: Option<HeadReport>,
    /// Every sink, in the order configured within its lane, inline ones first.
    pub sinks: Vec<SinkStatus>,
}

impl Admin {
    /// An API for these sinks.
    pub fn new(board: Board, metrics: PrometheusHandle) -> Self {
        Self { board, metrics }
    }

    pub(super) fn router(self) -> Router {
        let limit = usize::try_from(MAX_COMPONENT).unwrap_or(usize::MAX);
        Router::new()
            .route("/status", get(status))
            .route("/metrics", get(metrics))
            .route("/sinks/{sink}/history", get(history))
            .route("/sinks/{sink}/parked", get(parked))
            .route("/sinks/{sink}/pause", post(pause))
            .route("/sinks/{sink}/resume", post(resume))
            .route("/sinks/{sink}/replay", post(replay))
            .route("/sinks/{sink}/swap", post(swap))
            .route("/sinks/{sink}/parked/put", post(put_parked))
            .route("/sinks/{sink}/parked/drop", post(drop_parked))
            .layer(DefaultBodyLimit::max(limit))
            .with_state(Arc::new(self))
    }
}

type Shared = State<Arc<Admin>>;

#[derive(Serialize)]
struct Message {
    message: String,
}

struct Failed(OrderError);

impl From<OrderError> for Failed {
    fn from(error: OrderError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            OrderError::UnknownSink { .. } => StatusCode::NOT_FOUND,
            OrderError::Load(_) | OrderError::NotAComponent => StatusCode::UNPROCESSABLE_ENTITY,
            OrderError::Store(_) | OrderError::Ended => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        (status, Json(serde_json::json!({ "error": chain(&self.0) }))).into_response()
    }
}

type Answer<T> = Result<Json<T>, Failed>;

fn message(message: String) -> Json<Message> {
    Json(Message { message })
}

async fn status(State(admin): Shared) -> Json<StatusReport> {
    let stream = admin.board.stream();
    Json(StatusReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        stream: stream.name,
        epoch: stream.epoch,
        head: admin.board.head(),
        sinks: admin.board.statuses(),
    })
}

async fn metrics(State(admin): Shared) -> String {
    super::metrics::observe(&admin.board.statuses());
    admin.metrics.render()
}

async fn history(State(admin): Shared, Path(sink): Path<String>) -> Answer<Vec<VersionRecord>> {
    Ok(Json(admin.board.history(&sink)?))
}

async fn parked(State(admin): Shared, Path(sink): Path<String>) -> Answer<Vec<ParkedEvent>> {
    Ok(Json(admin.board.parked(&sink)?))
}

async fn pause(State(admin): Shared, Path(sink): Path<String>) -> Answer<Message> {
    Ok(message(admin.board.order(&sink, Order::Pause).await?))
}

async fn resume(State(admin): Shared, Path(sink): Path<String>) -> Answer<Message> {
    Ok(message(admin.board.order(&sink, Order::Resume).await?))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ReplayQuery {
    from: Position,
    reset_state: Option<bool>,
}

async fn replay(State(admin): Shared, Path(sink): Path<String>, Query(query): Query<ReplayQuery>) -> Answer<Message> {
    let order = Order::Replay { from: query.from, reset_state: query.reset_state };
    Ok(message(admin.board.order(&sink, order).await?))
}

async fn swap(State(admin): Shared, Path(sink): Path<String>, wasm: Bytes) -> Answer<Message> {
    Ok(message(admin.board.swap(&sink, wasm.to_vec(), false).await?))
}

#[derive(Deserialize)]
struct ParkedQuery {
    position: Option<Position>,
}

async fn put_parked(
    State(admin): Shared,
    Path(sink): Path<String>,
    Query(query): Query<ParkedQuery>,
) -> Answer<Message> {
    Ok(message(admin.board.order(&sink, Order::PutParked(query.position)).await?))
}

async fn drop_parked(
    State(admin): Shared,
    Path(sink): Path<String>,
    Query(query): Query<ParkedQuery>,
) -> Answer<Message> {
    Ok(message(admin.board.order(&sink, Order::DropParked(query.position)).await?))
}
