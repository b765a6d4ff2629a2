//! Serves HTTP to a bounded number of connections, so that whoever can reach a listener cannot use up the files that this process may open: the
//! log needs some too.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_tcp_user_timeout;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::own_listeners::OwnListener;

/// Connections that a listener has at one time, besides those that became WebSockets: more than whoever asks now and then makes.
pub(crate) const MAX_CONNECTIONS: usize = 256;

/// How long a connection may take to say what it wants, also the next time, and how long to take nothing of what it is told.
const PATIENCE: Duration = Duration::from_secs(30);

/// After this time in which nothing more came of a request's body it is given up.
const BODY: Duration = Duration::from_secs(10);

/// How long to wait after a connection could not be taken, such as for want of memory.
const PAUSE: Duration = Duration::from_millis(200);

/// A part of the files that this process may open, if that is less than `wanted`.
pub(crate) fn files(wanted: usize, part: u64) -> usize {
    let most = getrlimit(Resource::Nofile).current.map(|files| files / part);
    most.and_then(|most| usize::try_from(most).ok()).map_or(wanted, |most| most.min(wanted))
}

/// What connections may do.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    connections: usize,
    patience: Duration,
    body: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: files(MAX_CONNECTIONS, 8), patience: PATIENCE, body: BODY }
    }
}

/// A listener with its connections that did not become WebSockets; both end when this is dropped.
#[derive(Debug)]
pub(crate) struct Serving {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
    _own: OwnListener,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves on an address.
pub(crate) async fn listen(address: SocketAddr, router: Router) -> io::Result<Serving> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(serve(listener, router, Bounds::default()));
    Ok(Serving { address, task, _own: OwnListener::at(address) })
}

async fn serve(listener: TcpListener, router: Router, bounds: Bounds) {
    let router = router.layer(RequestBodyTimeoutLayer::new(bounds.body));
    let (mut connections, mut is_full) = (JoinSet::new(), false);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((connection, _)) if connections.len() < bounds.connections => {
                    is_full = false;
                    connections.spawn(converse(connection, router.clone(), bounds.patience));
                }
                // Dropped, which ends it.
                Ok(_) => {
                    if !std::mem::replace(&mut is_full, true) {
                        tracing::warn!("{} connections are open: others are turned away", bounds.connections);
                    }
                }
                Err(error) => {
                    tracing::warn!("a connection cannot be taken: {error}");
                    sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(connection: TcpStream, router: Router, patience: Duration) {
    let unread = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = set_tcp_user_timeout(&connection, unread) {
        tracing::debug!("a connection may stay that takes nothing: {error}");
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    let serving = http.serve_connection(TokioIo::new(connection), TowerToHyperService::new(router));
    if let Err(error) = serving.with_upgrades().await {
        tracing::debug!("a connection ended: {error}");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    async fn start(bounds: Bounds) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let large = || async { "x".repeat(16 << 20) };
        let router = Router::new().route("/", get(|| async { "here" })).route("/large", get(large));
        let router = router.route("/text", post(|_: String| async { "whole" }));
        (address, tokio::spawn(serve(listener, router, bounds)))
    }

    /// What comes of a request; nothing if the connection ends.
    async fn ask(connection: &mut TcpStream) -> String {
        let _ = connection.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut answer = vec![0; 1_000];
        let read =
            timeout(Duration::from_secs(10), connection.read(&mut answer)).await.expect("it neither answers nor ends");
        String::from_utf8_lossy(&answer[..read.unwrap_or(0)]).into_owned()
    }

    #[tokio::test]
    async fn connections_beyond_the_bound_end_at_once_and_one_that_ends_makes_room() {
        let bounds = Bounds { connections: 3, ..Bounds::default() };
        let (address, _serving) = start(bounds).await;
        let mut open = Vec::new();
        for _ in 0..bounds.connections {
            let mut connection = TcpStream::connect(address).await.unwrap();
            assert!(ask(&mut connection).await.ends_with("here"));
            open.push(connection);
        }
        assert_eq!(ask(&mut TcpStream::connect(address).await.unwrap()).await, "");
        assert!(ask(&mut open[0]).await.ends_with("here"));
        open.pop();
        let again = async {
            while !ask(&mut TcpStream::connect(address).await.unwrap()).await.ends_with("here") {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), again).await.expect("there is room again");
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_ends_and_one_that_asks_again_in_time_stays() {
        let (address, _serving) = start(Bounds { connections: 3, patience: Duration::from_secs(1), body: BODY }).await;
        let (mut silent, mut asking) =
            (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HT").await.unwrap();
        for _ in 0..6 {
            assert!(ask(&mut asking).await.ends_with("here"));
            sleep(Duration::from_millis(300)).await;
        }
        for connection in [&mut silent, &mut slow] {
            let mut rest = Vec::new();
            let ended = timeout(Duration::from_secs(10), connection.read_to_end(&mut rest)).await;
            assert!(ended.is_ok(), "it is still open");
        }
    }

    #[tokio::test]
    async fn a_request_whose_body_does_not_come_is_given_up() {
        let bounds = Bounds { connections: 3, patience: PATIENCE, body: Duration::from_millis(300) };
        let (address, _serving) = start(bounds).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"POST /text HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
        let mut answer = String::new();
        let ended = timeout(Duration::from_secs(10), slow.read_to_string(&mut answer)).await;
        assert!(ended.is_ok() && !answer.contains("whole"), "{answer}");
    }

    #[tokio::test]
    async fn a_connection_that_takes_nothing_of_its_answer_ends() {
        let (address, _serving) = start(Bounds { connections: 1, patience: Duration::from_secs(1), body: BODY }).await;
        let mut unread = TcpStream::connect(address).await.unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&unread, 4096).unwrap();
        unread.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        sleep(Duration::from_millis(50)).await;
        assert_eq!(ask(&mut TcpStream::connect(address).await.unwrap()).await, "");
        let again = async {
            while !ask(&mut TcpStream::connect(address).await.unwrap()).await.ends_with("here") {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(10), again).await.expect("there is room again");
    }

    #[test]
    fn files_are_what_is_wanted_or_a_part_of_those_there_are() {
        assert_eq!(files(1, 1), 1);
        assert_eq!(files(usize::MAX, u64::MAX), 0);
    }
}
