//! Listens for clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower_http::cors::CorsLayer;

use super::{Shared, http, socket};
use crate::http_server;
use crate::own_listeners::OwnListener;

/// A server, until it is dropped.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
    _own: OwnListener,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves clients on an address.
pub(super) async fn serve(address: SocketAddr, shared: Arc<Shared>) -> io::Result<Serving> {
    let listener = TcpListener::bind(address).await;
    let listener =
        listener.map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
    let address = listener.local_addr()?;
    // As hydra-node has it: any page may ask. Whoever may not reach the node has to be kept from its address.
    let router = http::routes().merge(socket::route()).layer(CorsLayer::permissive()).with_state(shared);
    let task = tokio::spawn(http_server::serve(listener, router, http_server::Bounds::default()));
    Ok(Serving { address, task, _own: OwnListener::at(address) })
}
