//! One request and its answer, within bounds of size and time.

use std::error::Error as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame};
use hyper::client::conn::http1;
use tokio::time::{Sleep, sleep_until, timeout_at};
use tracing::Level;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::{Exchanged, Refusal, Rights};
use crate::error_chain::chain;

/// Bytes of a request that a guest hands over at once.
pub(super) const CHUNK: usize = 64 * 1024;

/// Bytes of the answer's headers: more than servers send, less than hurts.
const HEADERS: usize = 64 * 1024;

/// Makes a request. The answer's body comes after this; its future ends when the connection does.
pub(super) async fn exchange(
    rights: &Rights,
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
    deadline: Instant,
) -> Result<Exchanged, Refusal> {
    rights.check(request.method(), request.uri())?;
    let permit = rights.free.clone().try_acquire_owned().map_err(|_| rights.too_many())?;
    let options = options.unwrap_or_default();
    let by = |allowed: Option<Duration>| {
        let asked = allowed.and_then(|allowed| Instant::now().checked_add(allowed));
        asked.map_or(deadline, |asked| asked.min(deadline)).into()
    };
    let connecting = timeout_at(by(options.connect_timeout), rights.connect(request.uri()));
    let connection = connecting.await.map_err(|_| rights.too_late(Error::ConnectionTimeout))??;

    let answering = timeout_at(by(options.first_byte_timeout), async {
        let handshake = http1::Builder::new().max_buf_size(HEADERS).handshake(TokioIo::new(connection)).await;
        let (mut sender, driver) = handshake.map_err(failed)?;
        // Whatever ends the connection ends the body with it, and is told there.
        let driver = spawn(async move { drop(driver.await) });
        let request = bounded(request, rights.request_bytes);
        Ok((sender.send_request(request).await.map_err(failed)?, driver))
    });
    let (response, driver) = answering.await.map_err(|_| rights.too_late(Error::HttpResponseTimeout))??;
    let (limit, log) = (rights.response_bytes, rights.log.clone());
    let response = response.map(|body| {
        let body = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
        let body = body.map_err(move |error| match error.downcast::<hyper::Error>() {
            Ok(error) => Error::Hyper(*error),
            Err(_) => {
                log.line(
                    Level::WARN,
                    &format!("hydrant: an answer is longer than {limit} bytes (http-response-bytes)"),
                );
                Error::HttpResponseBodySize(Some(limit))
            }
        });
        Timed { body: body.boxed_unsync(), deadline: Box::pin(sleep_until(deadline.into())) }.boxed_unsync()
    });
    Ok((response, Box::new(over(driver, permit, deadline))))
}

/// Holds the request's place among the open ones until its connection has ended.
async fn over(
    driver: AbortOnDropJoinHandle<()>,
    _permit: tokio::sync::OwnedSemaphorePermit,
    deadline: Instant,
) -> Result<(), Error> {
    let _ = timeout_at(deadline.into(), driver).await;
    Ok(())
}

/// The request as it goes out: addressed within its server, and no longer than is allowed.
fn bounded(request: Request<WasiBody>, limit: u64) -> Request<WasiBody> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    parts.uri = Uri::from(path);
    let body = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    let body = body.map_err(move |error| match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(_) => Error::HttpRequestBodySize(Some(limit)),
    });
    Request::from_parts(parts, body.boxed_unsync())
}

fn failed(error: hyper::Error) -> Refusal {
    let cause = chain(&error);
    // What the body says of itself comes back as the cause.
    match error.source().and_then(|source| source.downcast_ref()) {
        Some(Error::HttpRequestBodySize(limit)) => {
            Refusal::new(Error::HttpRequestBodySize(*limit), format!("given up: {cause} (http-request-bytes)"))
        }
        _ => Refusal::new(Error::Hyper(error), format!("failed: {cause}")),
    }
}

/// A body that fails when its time is over.
struct Timed {
    body: WasiBody,
    deadline: Pin<Box<Sleep>>,
}

impl Body for Timed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Error::HttpResponseTimeout)));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}
