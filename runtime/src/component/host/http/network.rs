//! From a granted host to a connection: resolve, check the address, connect to that address, TLS.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use http::Uri;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::Error;

use super::address::special;
use super::{Refusal, Rights};
use crate::component::http_grants::port_of;
use crate::own_listeners::is_own;

/// Finds the addresses of a host.
///
/// What it answers is checked, and connected to as it is; it is not asked again, so an answer that changes changes nothing.
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses of `host`, in the order in which to try them.
    ///
    /// # Errors
    ///
    /// If there are none, or it cannot be found out.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// Asks the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host((host, port)).await?.collect())
    }
}

/// A connection, with or without TLS.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Rights {
    /// Connects to where a granted URL leads.
    pub(super) async fn connect(&self, uri: &Uri) -> Result<Box<dyn Connection>, Refusal> {
        let host = uri.host().unwrap_or_default();
        // An address in a URL of version 6 stands in brackets.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let stream = self.connect_to(host, port_of(uri)).await?;
        // Whatever it costs: a request is sent as it was written.
        let _ = stream.set_nodelay(true);
        match uri.scheme_str() {
            Some("https") => Ok(Box::new(with_tls(host, stream).await?)),
            _ => Ok(Box::new(stream)),
        }
    }

    async fn connect_to(&self, host: &str, port: u16) -> Result<TcpStream, Refusal> {
        let mut problem = Refusal::new(Error::DestinationNotFound, format!("{host} has no address"));
        for address in self.addresses(host, port).await? {
            match TcpStream::connect(address).await {
                Ok(stream) if is_own(address, stream.local_addr().ok()) => problem = of_ours(address),
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    problem = Refusal::new(Error::ConnectionRefused, format!("cannot connect to {address}: {error}"));
                }
            }
        }
        Err(problem)
    }

    /// The addresses of a host that may be connected to.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Refusal> {
        let failed = |error: io::Error| {
            let code = Error::DnsError { rcode: None, info_code: None };
            Refusal::new(code, format!("cannot find {host}: {error}"))
        };
        let (found, is_named) = match host.parse::<IpAddr>() {
            // The rule that let the request pass has this address in so many words.
            Ok(address) => (vec![SocketAddr::new(address, port)], true),
            Err(_) => (self.resolver.resolve(host, port).await.map_err(failed)?, false),
        };
        let mut problem = None;
        let mut allowed = Vec::new();
        for address in found {
            match special(address.ip()) {
                _ if is_own(address, None) => problem = Some(of_ours(address)),
                Some(what) if !is_named && !self.grants.name(address.ip()) => {
                    problem = Some(special_of(host, address, what))
                }
                _ => allowed.push(address),
            }
        }
        match problem {
            Some(problem) if allowed.is_empty() => Err(problem),
            _ => Ok(allowed),
        }
    }
}

fn of_ours(address: SocketAddr) -> Refusal {
    Refusal::new(Error::DestinationIpProhibited, format!("refused: {address} is hydrant's own"))
}

fn special_of(host: &str, address: SocketAddr, what: &str) -> Refusal {
    let ip = address.ip();
    let reason = format!("refused: {host} leads to {ip} ({what}); grant.http-addresses={ip} grants that");
    Refusal::new(Error::DestinationIpProhibited, reason)
}

/// The system's roots, read once; where they are can be said with SSL_CERT_FILE or SSL_CERT_DIR.
static TLS: LazyLock<Result<Arc<ClientConfig>, String>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(format!("no root certificates were found on this machine {}", errors.join(", ")));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
});

async fn with_tls(host: &str, stream: TcpStream) -> Result<impl Connection + use<>, Refusal> {
    let config = TLS.clone().map_err(|reason| Refusal::new(Error::TlsCertificateError, reason))?;
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| Refusal::new(Error::TlsProtocolError, format!("{host:?}: {error}")))?;
    let connected = TlsConnector::from(config).connect(name, stream).await;
    connected.map_err(|error| Refusal::new(Error::TlsCertificateError, format!("no TLS with {host}: {error}")))
}
