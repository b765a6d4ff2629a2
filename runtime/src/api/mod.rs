//! hydra-node's API as an event sink: what clients are told is made of the events that are put.
//!
//! The node never waits for a client: the hub hands an output to bounded backlogs. History comes from the log, and what is
//! asked about the head from the fold of all events, so nothing is answered that is not durable.

mod answer;
mod command;
mod greetings;
mod history;
mod http;
mod hub;
mod network;
mod output;
mod places;
mod snapshot;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tower_http::cors::CorsLayer;

use crate::event::StateEvent;
use crate::head::HeadFollower;
use crate::http_server::{self, Serving};
use crate::offline::HeadInputs;
use crate::offline::ledger::Ledger;
use crate::sink::{Ack, CloseReason, Delivery, EventSink, OpenInfo, Opened, SinkError};
use crate::source::Reopen;
use crate::stream::StreamFormat;

use hub::Hub;
use network::NetworkInfo;
use output::Outputs;
use places::Places;

pub use hub::{MAX_BACKLOG, MAX_BACKLOG_BYTES};
pub use network::MAX_PEERS;
pub use places::{MAX_ANSWERS, MAX_CLIENTS, MAX_HISTORIES};
pub use socket::MAX_MESSAGE;

/// What the API serves besides the events that are put to it.
#[derive(Clone, Debug)]
pub struct ApiUpstream {
    /// Makes readers of the log, for clients that want its history.
    pub reopen: Reopen,
    /// The state of the head.
    pub follower: HeadFollower,
    /// Where commands go; none: the API is for reading only.
    pub commands: Option<ApiCommands>,
}

/// Where clients' commands go.
#[derive(Clone, Debug)]
pub struct ApiCommands {
    /// The head's inputs.
    pub inputs: HeadInputs,
    /// What transactions have to be.
    pub ledger: Arc<dyn Ledger>,
    /// The verification key of the head's one party, in hexadecimal digits.
    pub party: String,
    /// Seconds that a closed head waits before fanout.
    pub contestation_period: u64,
}

/// What the sink and every client share.
#[derive(Debug)]
struct Shared {
    hub: Hub,
    clients: Places,
    answers: Places,
    histories: Places,
    upstream: ApiUpstream,
    /// When the head was initialised, as JSON.
    initialised: Mutex<Option<String>>,
    network: Mutex<NetworkInfo>,
}

impl Shared {
    fn network(&self) -> MutexGuard<'_, NetworkInfo> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `api://ADDR`: serves WebSocket and HTTP on an address.
#[derive(Debug)]
pub struct ApiSink {
    address: SocketAddr,
    shared: Arc<Shared>,
    outputs: Outputs,
    serving: Option<Serving>,
}

impl ApiSink {
    /// A sink that will listen on this address.
    pub fn new(address: SocketAddr, upstream: ApiUpstream) -> Self {
        let network = upstream.commands.as_ref().map_or_else(NetworkInfo::default, |_| NetworkInfo::of_one_party());
        let network = Mutex::new(network);
        let shared = Shared {
            hub: Hub::default(),
            clients: Places::for_clients(),
            answers: Places::new(MAX_ANSWERS),
            histories: Places::new(MAX_HISTORIES),
            upstream,
            initialised: Mutex::default(),
            network,
        };
        Self { address, shared: Arc::new(shared), outputs: Outputs::default(), serving: None }
    }

    /// Where it listens; none before it is open.
    pub fn address(&self) -> Option<SocketAddr> {
        self.serving.as_ref().map(|serving| serving.address)
    }
}

#[async_trait]
impl EventSink for ApiSink {
    fn describe(&self) -> String {
        format!("API on {}", self.address)
    }

    async fn open(&mut self, info: &OpenInfo) -> Result<Opened, SinkError> {
        if info.stream.format != StreamFormat::state_event() {
            let message = format!("the API serves {} only, not {}", StreamFormat::state_event(), info.stream.format);
            return Err(SinkError::Fatal { message });
        }
        if self.serving.is_none() {
            self.serving = Some(self.listen().await.map_err(SinkError::target)?);
        }
        Ok(Opened::Beginning)
    }

    async fn put_event(&mut self, event: &StateEvent, delivery: Delivery) -> Result<Ack, SinkError> {
        let output = self.outputs.of(event).map_err(SinkError::target)?;
        if let "HeadInitialized" | "HeadOpened" = event.tag() {
            self.note_opening(event);
        }
        if let Some(output) = &output {
            self.shared.network().see(output);
        }
        // Nobody is told of history live: who wants it reads it from the log.
        self.shared.hub.put(event.position(), output.filter(|_| !delivery.catching_up));
        Ok(Ack::Durable)
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&mut self, reason: CloseReason) -> Result<(), SinkError> {
        if reason != CloseReason::Reopen {
            self.serving = None;
        }
        Ok(())
    }
}

impl ApiSink {
    async fn listen(&self) -> io::Result<Serving> {
        // As hydra-node has it: any page may ask. Whoever may not reach the node has to be kept from its address.
        let routes = http::routes().merge(socket::route()).layer(CorsLayer::permissive());
        let serving = http_server::listen(self.address, routes.with_state(Arc::clone(&self.shared))).await;
        let serving = serving
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {}: {error}", self.address)))?;
        tracing::info!("API on http://{0} and ws://{0}", serving.address);
        Ok(serving)
    }

    /// A head's first event has the time that `/head-initialization` tells: until 1.x that it was initialised, since 2.0 that it opened.
    fn note_opening(&self, event: &StateEvent) {
        let mut initialised = self.shared.initialised.lock().unwrap_or_else(PoisonError::into_inner);
        if event.tag() == "HeadInitialized" || initialised.is_none() {
            *initialised = output::timestamp(event);
        }
    }
}
