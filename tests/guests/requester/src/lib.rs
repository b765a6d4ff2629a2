//! Makes the HTTP requests that its configuration says and writes to its log what came of each.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:requester;
        world guest {
            include hydrant:events/sink@0.1.0;
            include hydrant:events/with-lifecycle@0.1.0;
        }
    ",
    world: "test:requester/guest",
    generate_all,
});

use std::sync::Mutex;

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};
use exports::hydrant::events::lifecycle::{self, CloseReason, OpenInfo, Opened};
use hydrant::events::types::{Hints, Manifest, Need};
use wasip2::http::outgoing_handler::{FutureIncomingResponse, handle};
use wasip2::http::types::{ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

struct Sink;

static CONFIG: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

fn config(name: &str) -> Option<String> {
    let config = CONFIG.lock().unwrap();
    config.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

impl lifecycle::Guest for Sink {
    fn describe() -> Manifest {
        Manifest {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: "1.0.0".to_owned(),
            accepts: vec![],
            writes: None,
            config_schema: None,
            tags: vec![],
            needs: vec![Need { grant: "http".to_owned(), reason: "to ask".to_owned() }],
            hints: Hints { batch_events: None, batch_bytes: None, flush_ms: None },
            irreversible: false,
        }
    }

    fn open(info: OpenInfo) -> Result<Opened, SinkError> {
        *CONFIG.lock().unwrap() = info.config;
        Ok(Opened::Cursor)
    }

    fn close(_reason: CloseReason) {}
}

impl Guest for Sink {
    /// Asks each of the URLs in `urls`, and follows redirects. With `at-once`, all are asked before any answer is read; with `fail`, the put fails
    /// if one of them did.
    fn put_event(_event: StateEvent) -> Result<Ack, SinkError> {
        let urls = config("urls").unwrap_or_default();
        let urls: Vec<&str> = urls.split(' ').collect();
        let answers: Vec<_> = if config("at-once").is_some() {
            let asked: Vec<_> = urls.iter().map(|url| ask(url)).collect();
            asked.into_iter().map(|asked| asked.and_then(answer)).collect()
        } else {
            urls.iter().map(|url| followed(url)).collect()
        };
        let has_failed = answers.iter().any(Result::is_err);
        for (url, outcome) in urls.iter().zip(answers) {
            println!("{url} = {}", told(outcome));
        }
        match config("fail") {
            Some(_) if has_failed => Err(SinkError::Fatal("a request failed".to_owned())),
            _ => Ok(Ack::Durable),
        }
    }
}

fn told(outcome: Result<Answer, ErrorCode>) -> String {
    match outcome {
        Ok(answer) => format!("{} {} bytes", answer.status, answer.bytes),
        Err(error) => format!("failed {error:?}"),
    }
}

struct Answer {
    status: u16,
    bytes: usize,
    location: Option<String>,
}

fn followed(url: &str) -> Result<Answer, ErrorCode> {
    let answered = answer(ask(url)?)?;
    match answered.location {
        Some(location) => followed(&location),
        None => Ok(answered),
    }
}

fn ask(url: &str) -> Result<FutureIncomingResponse, ErrorCode> {
    let (scheme, rest) = url.split_once("://").unwrap();
    let at = rest.find('/').unwrap_or(rest.len());
    let headers = Fields::new();
    let size: u64 = config("body").map_or(0, |size| size.parse().unwrap());
    headers.set("content-length", &[size.to_string().into_bytes()]).unwrap();
    let request = OutgoingRequest::new(headers);
    let method = config("method").unwrap_or("GET".to_owned());
    let method = match &*method {
        "GET" => Method::Get,
        "CONNECT" => Method::Connect,
        _ => Method::Other(method),
    };
    request.set_method(&method).unwrap();
    request.set_scheme(Some(&if scheme == "https" { Scheme::Https } else { Scheme::Http })).unwrap();
    let refused = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_authority(Some(&rest[..at])).map_err(refused)?;
    request.set_path_with_query(Some(&rest[at..])).map_err(refused)?;
    let body = request.body().unwrap();
    let asked = handle(request, None)?;
    let stream = body.write().unwrap();
    let (mut left, chunk) = (size as usize, [b'x'; 4096]);
    while left > 0 {
        let now = left.min(chunk.len());
        // The server, or the host, may have ended it; what became of it is in the answer.
        if stream.blocking_write_and_flush(&chunk[..now]).is_err() {
            break;
        }
        left -= now;
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
    Ok(asked)
}

fn answer(asked: FutureIncomingResponse) -> Result<Answer, ErrorCode> {
    asked.subscribe().block();
    let response: IncomingResponse = asked.get().unwrap().unwrap()?;
    let location = response.headers().get("location").pop();
    let location = location.map(|location| String::from_utf8(location).unwrap());
    let (status, body) = (response.status(), response.consume().unwrap());
    let stream = body.stream().unwrap();
    let mut bytes = 0;
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(read) => bytes += read.len(),
            Err(StreamError::Closed) => return Ok(Answer { status, bytes, location }),
            Err(StreamError::LastOperationFailed(error)) => {
                let code = wasip2::http::types::http_error_code(&error);
                let words = error.to_debug_string().lines().next().unwrap_or_default().to_owned();
                return Err(code.unwrap_or(ErrorCode::InternalError(Some(words))));
            }
        }
    }
}

export!(Sink);
