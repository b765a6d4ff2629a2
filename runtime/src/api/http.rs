//! What is asked and sent over HTTP.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::hub::Subscription;
use super::places::Place;
use super::socket::MAX_MESSAGE;
use super::{Shared, snapshot};
use crate::head::{HeadFold, HeadState, first_of};
use crate::json_text::{list, object, quoted, text};
use crate::offline::{Answers, Command, Input};

/// How long a transaction that was sent may take to be in a snapshot before its sender is told that it is only submitted.
const CONFIRM: Duration = Duration::from_secs(10);

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/head", get(head))
        .route("/snapshot", get(confirmed_snapshot).post(needs_a_chain))
        .route("/snapshot/utxo", get(snapshot_utxo))
        .route("/snapshot/last-seen", get(last_seen))
        .route("/protocol-parameters", get(protocol_parameters))
        .route("/head-initialization", get(head_initialization))
        .route("/commits", get(commits))
        .route("/commits/{tx_id}", delete(needs_a_chain))
        .route("/commit", post(needs_a_chain))
        .route("/decommit", post(needs_a_chain))
        .route("/cardano-transaction", post(needs_a_chain))
        .route("/transaction", post(transaction))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(MAX_MESSAGE))
}

/// What is answered, or why not.
type Answer = Result<Response, Response>;

fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let body: Body = body.into();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn error(status: StatusCode, words: &str) -> Response {
    json(status, object([("error", text(words).as_str())]))
}

/// The fold of all that is durable; while history is being read, its end is waited for.
async fn folded(shared: &Shared) -> Result<HeadFold, Response> {
    shared.upstream.follower.caught_up().await;
    let fold = shared.upstream.follower.folded().await;
    fold.ok_or_else(|| error(StatusCode::SERVICE_UNAVAILABLE, "the state of the head is not known"))
}

/// An answer that takes a place until it was sent.
struct Placed {
    body: String,
    _place: Place,
}

impl AsRef<[u8]> for Placed {
    fn as_ref(&self) -> &[u8] {
        self.body.as_bytes()
    }
}

/// An answer made of the head's state; 404 where there is nothing of the kind.
async fn of_state(shared: &Shared, what: &str, answer: impl FnOnce(&HeadState) -> Option<String>) -> Answer {
    let place = shared.answers.wait().await;
    let fold = folded(shared).await?;
    let nothing = || error(StatusCode::NOT_FOUND, &format!("the head is {}: it has no {what}", fold.head().tag()));
    let body = answer(fold.head()).ok_or_else(nothing)?;
    Ok(json(StatusCode::OK, Bytes::from_owner(Placed { body, _place: place })))
}

async fn head(State(shared): State<Arc<Shared>>) -> Answer {
    of_state(&shared, "state", |state| Some(state.to_json())).await
}

async fn confirmed_snapshot(State(shared): State<Arc<Shared>>) -> Answer {
    of_state(&shared, "snapshot", snapshot::confirmed).await
}

async fn snapshot_utxo(State(shared): State<Arc<Shared>>) -> Answer {
    of_state(&shared, "snapshot", snapshot::utxo).await
}

async fn last_seen(State(shared): State<Arc<Shared>>) -> Answer {
    of_state(&shared, "snapshot under way", snapshot::seen).await
}

async fn commits(State(shared): State<Arc<Shared>>) -> Answer {
    let ids: Vec<String> = folded(&shared).await?.deposit_ids().iter().map(|id| quoted(id)).collect();
    Ok(json(StatusCode::OK, list(ids.iter().map(String::as_str))))
}

async fn protocol_parameters(State(shared): State<Arc<Shared>>) -> Response {
    match &shared.upstream.commands {
        Some(commands) => json(StatusCode::OK, commands.ledger.protocol_parameters().to_owned()),
        None => error(StatusCode::NOT_FOUND, "a log does not say the protocol parameters"),
    }
}

async fn head_initialization(State(shared): State<Arc<Shared>>) -> Response {
    let time = shared.initialised.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match time {
        Some(time) => json(StatusCode::OK, time),
        None => error(StatusCode::NOT_FOUND, "no head was initialised"),
    }
}

async fn unknown(uri: Uri) -> Response {
    error(StatusCode::NOT_FOUND, &format!("there is nothing at {}", uri.path()))
}

async fn needs_a_chain() -> Response {
    error(StatusCode::NOT_IMPLEMENTED, "this needs a chain, and there is none here")
}

/// Takes a transaction and waits for what comes of it, as hydra-node 1.0 and later do.
async fn transaction(State(shared): State<Arc<Shared>>, body: String) -> Response {
    let Some(commands) = &shared.upstream.commands else {
        return error(StatusCode::FORBIDDEN, "this API is for reading only");
    };
    let read = commands.ledger.transaction(&body).and_then(|json| {
        let tx = json.get().map_err(|error| error.to_string())?;
        Ok((json, tx.id().unwrap_or_default().to_owned()))
    });
    let (tx, id) = match read {
        Ok(read) => read,
        Err(problem) => return error(StatusCode::BAD_REQUEST, &problem),
    };
    let subscription = shared.hub.subscribe();
    let (to, mut answered) = mpsc::channel(1);
    if let Err(gone) =
        commands.inputs.put(Input::Command(Command::NewTx(tx)), Some(Answers { to, command: body.into() })).await
    {
        return error(StatusCode::SERVICE_UNAVAILABLE, &gone.to_string());
    }
    tokio::select! {
        Some(refused) = answered.recv() => error(StatusCode::CONFLICT, &refused.reason),
        outcome = timeout(CONFIRM, come_of(subscription, &id)) => match outcome {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) => json(StatusCode::ACCEPTED, object([("tag", "\"SubmitTxSubmitted\"")])),
        },
    }
}

/// What is told of a transaction in the end; none if that is not seen.
async fn come_of(mut subscription: Subscription, id: &str) -> Option<Response> {
    while let Some(told) = subscription.next().await {
        let output = &told.output;
        if output.tag == "TxInvalid" && output.tx_id.as_deref() == Some(id) {
            let why = output.member("validationError").and_then(|error| first_of(error, &["reason"]).ok().flatten());
            let why = why.as_deref().unwrap_or("null");
            let body = object([("tag", "\"SubmitTxInvalid\""), ("validationError", why)]);
            return Some(json(StatusCode::BAD_REQUEST, body));
        }
        if output.confirms(id) {
            let number = output.snapshot_number().unwrap_or_else(|| "null".to_owned());
            let body = object([("snapshotNumber", number.as_str()), ("tag", "\"SubmitTxConfirmed\"")]);
            return Some(json(StatusCode::OK, body));
        }
    }
    None
}
