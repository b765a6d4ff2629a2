//! Where the admin API listens.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::routes::Admin;
use crate::http_server::{self, Serving};

/// Why the API cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The socket or address cannot be used.
    #[error("the admin API cannot listen on {place}")]
    Bind {
        /// The socket's path, or the address.
        place: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The token cannot be read.
    #[error("cannot read the token file {path}", path = .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The token is too short to keep anybody out.
    #[error("the token in {path} has fewer than {MIN_TOKEN} characters", path = .path.display())]
    ShortToken {
        /// The file.
        path: PathBuf,
    },
}

/// The shortest token: 16 random characters cannot be guessed over a network.
pub(super) const MIN_TOKEN: usize = 16;

/// A listening API; it ends when this is dropped.
#[derive(Debug)]
pub struct Listening(Listener);

impl Listening {
    /// The address, for TCP.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Listener::Unix(_) => None,
            Listener::Tcp(serving) => Some(serving.address),
        }
    }
}

#[derive(Debug)]
enum Listener {
    Unix(#[expect(dead_code, reason = "ends the listener when it is dropped")] UnixSocket),
    Tcp(Serving),
}

#[derive(Debug)]
struct UnixSocket {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        self.task.abort();
        // Left behind by a crash, it is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Longest path that the system takes for a socket.
const MAX_SOCKET_PATH: usize = 100;

/// The path of the socket, or a shorter way to it through a descriptor of its folder, which has to be kept open while it is used.
pub(super) fn reachable(path: &Path) -> io::Result<(PathBuf, Option<fs::File>)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok((path.to_owned(), None));
    };
    if path.as_os_str().len() <= MAX_SOCKET_PATH {
        return Ok((path.to_owned(), None));
    }
    use std::os::fd::AsRawFd;
    let folder = fs::File::open(folder)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name), Some(folder)))
}

/// Listens on a Unix socket that only its owner can use. One left behind is replaced: the caller holds the lock of the data directory.
///
/// # Errors
///
/// [`ListenError::Bind`].
pub async fn listen_unix(admin: Admin, path: &Path) -> Result<Listening, ListenError> {
    let failed = |source| ListenError::Bind { place: path.display().to_string(), source };
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let (short, _folder) = reachable(path).map_err(failed)?;
    let listener = UnixListener::bind(short).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let router = admin.router();
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("the admin API ended: {error}");
        }
    });
    Ok(Listening(Listener::Unix(UnixSocket { path: path.to_owned(), task })))
}

/// Listens on an address; every request has to carry the token of this file as `Authorization: Bearer TOKEN`.
///
/// # Errors
///
/// [`ListenError`].
pub async fn listen_tcp(admin: Admin, address: SocketAddr, token_file: &Path) -> Result<Listening, ListenError> {
    let token = read_token(token_file)?;
    let router = admin.router().layer(from_fn_with_state(Sha256::digest(token.as_bytes()).to_vec(), with_token));
    let serving = http_server::listen(address, router).await;
    let serving = serving.map_err(|source| ListenError::Bind { place: address.to_string(), source })?;
    Ok(Listening(Listener::Tcp(serving)))
}

pub(super) fn read_token(path: &Path) -> Result<String, ListenError> {
    let token = fs::read_to_string(path).map_err(|source| ListenError::Token { path: path.to_owned(), source })?;
    let token = token.trim().to_owned();
    if token.len() < MIN_TOKEN {
        return Err(ListenError::ShortToken { path: path.to_owned() });
    }
    Ok(token)
}

/// Lets a request pass that carries the token. Digests are compared, so the time taken says nothing about the token.
async fn with_token(State(expected): State<Vec<u8>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    if given.is_some_and(|token| Sha256::digest(token.as_bytes()).as_slice() == expected) {
        return next.run(request).await;
    }
    let error = serde_json::json!({ "error": "the token is missing or wrong: send Authorization: Bearer TOKEN" });
    (StatusCode::UNAUTHORIZED, axum::Json(error)).into_response()
}
