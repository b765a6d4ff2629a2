//! Talks to a running hydrant.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use super::SOCKET;
use super::listen::{ListenError, reachable, read_token};

/// The longest answer taken: a hundred parked events of the largest kind would be more, and are better looked at one by one.
const MAX_ANSWER: usize = 256 << 20;

/// Why a request was not answered as hoped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens.
    #[error("no hydrant is running with {place}; start one, or name its data directory with --data-dir")]
    NotRunning {
        /// The socket, or the address.
        place: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The token cannot be read.
    #[error(transparent)]
    Token(#[from] ListenError),
    /// The connection failed.
    #[error("the admin API did not answer")]
    Http(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is an error.
    #[error("{message}")]
    Refused {
        /// What it says.
        message: String,
    },
}

/// A way to a running hydrant.
#[derive(Clone, Debug)]
pub struct Client {
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Unix(PathBuf),
    Tcp { address: SocketAddr, token: String },
}

impl Client {
    /// Through the socket in a data directory.
    pub fn unix(data_dir: &Path) -> Self {
        Self { place: Place::Unix(data_dir.join(SOCKET)) }
    }

    /// Over TCP, with the token of a file.
    ///
    /// # Errors
    ///
    /// [`ClientError::Token`].
    pub fn tcp(address: SocketAddr, token_file: &Path) -> Result<Self, ClientError> {
        Ok(Self { place: Place::Tcp { address, token: read_token(token_file)? } })
    }

    /// Asks for something.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn get(&self, path: &str) -> Result<Bytes, ClientError> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Orders something.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn post(&self, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        self.send(Method::POST, path, body).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "hydrant");
        if let Place::Tcp { token, .. } = &self.place {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body)).map_err(http)?;
        match &self.place {
            Place::Unix(path) => {
                let failed = |source| ClientError::NotRunning { place: path.display().to_string(), source };
                let (short, _folder) = reachable(path).map_err(failed)?;
                exchange(UnixStream::connect(short).await.map_err(failed)?, request).await
            }
            Place::Tcp { address, .. } => {
                let failed = |source| ClientError::NotRunning { place: address.to_string(), source };
                exchange(TcpStream::connect(address).await.map_err(failed)?, request).await
            }
        }
    }
}

fn http(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
    ClientError::Http(error.into())
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Bytes, ClientError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(http)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(http)?.to_bytes();
    connection.abort();
    if status.is_success() {
        return Ok(body);
    }
    let error = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let error = error.as_ref().and_then(|body| body.get("error")?.as_str());
    let message = error.map_or_else(|| format!("{status}: {}", String::from_utf8_lossy(&body)), str::to_owned);
    Err(ClientError::Refused { message })
}
