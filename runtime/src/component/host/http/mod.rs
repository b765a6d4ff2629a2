//! `wasi:http`: requests that were granted, to addresses that are checked when they are connected to.
//!
//! Redirects are the guest's to follow, so where one leads is checked like any request.

mod address;
mod exchange;
mod network;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, Response, Uri};
use tokio::sync::Semaphore;
use tracing::Level;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::guest_log::GuestLog;
use crate::component::http_grants::HttpGrants;
use crate::component::limits::Limits;
pub use network::{Resolve, SystemResolver};

type Exchanged = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

/// The requests of one instance.
#[derive(Clone)]
pub(crate) struct Outbound(Arc<Rights>);

/// What every request of an instance is held to.
struct Rights {
    grants: HttpGrants,
    resolver: Arc<dyn Resolve>,
    /// Requests that may still be begun before others have ended.
    free: Arc<Semaphore>,
    requests: u64,
    request_bytes: u64,
    response_bytes: u64,
    time: Duration,
    log: GuestLog,
}

impl Outbound {
    pub(super) fn new(grants: &HttpGrants, resolver: &Arc<dyn Resolve>, limits: &Limits, log: &GuestLog) -> Self {
        let requests = usize::try_from(limits.http_requests).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Rights {
            grants: grants.clone(),
            resolver: resolver.clone(),
            free: Arc::new(Semaphore::new(requests)),
            requests: limits.http_requests,
            request_bytes: limits.http_request_bytes,
            response_bytes: limits.http_response_bytes,
            time: Duration::from_millis(limits.http_timeout),
            log: log.clone(),
        }))
    }

    /// Makes a request, or says in the sink's log why not.
    async fn request(self, request: Request<WasiBody>, options: Option<RequestOptions>) -> Result<Exchanged, Error> {
        let rights = &self.0;
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let asked = exchange::exchange(rights, request, options, Instant::now() + rights.time).await;
        asked.map_err(|refusal| {
            rights.log.line(Level::WARN, &format!("hydrant: {method} {}: {}", shown(&uri), refusal.reason));
            refusal.code
        })
    }
}

/// Why a request came to nothing: what the operator reads, and what the guest gets.
struct Refusal {
    reason: String,
    code: Error,
}

impl Refusal {
    fn new(code: Error, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), code }
    }
}

impl Rights {
    fn check(&self, method: &Method, uri: &Uri) -> Result<(), Refusal> {
        // These make something else of a connection than an answer to a request.
        if matches!(*method, Method::CONNECT | Method::TRACE) || !self.grants.allow(method, uri) {
            let rules: Vec<String> = self.grants.rules.iter().map(ToString::to_string).collect();
            let granted = if rules.is_empty() { "nothing is".to_owned() } else { rules.join(", ") };
            return Err(Refusal::new(
                Error::HttpRequestDenied,
                format!("refused: not granted by grant.http ({granted})"),
            ));
        }
        Ok(())
    }

    fn too_many(&self) -> Refusal {
        let reason = format!("refused: {} others are not over (http-requests)", self.requests);
        Refusal::new(Error::ConnectionLimitReached, reason)
    }

    fn too_late(&self, code: Error) -> Refusal {
        let time = humantime::format_duration(self.time);
        Refusal::new(
            code,
            format!("given up: not over within {time} (http-timeout) or what the component itself allowed"),
        )
    }
}

/// A URL without its query, which may hold a secret.
fn shown(uri: &Uri) -> String {
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    format!("{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path())
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Exchanged, Error>> + Send> {
        Box::new(self.clone().request(request, options))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        exchange::CHUNK
    }

    // What comes of a request is said in the sink's own log, which is bounded; these would fill ours.

    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }

    fn p2_error_from_connect(&mut self, _: &std::io::Error) -> ErrorCode {
        ErrorCode::ConnectionRefused
    }
}
