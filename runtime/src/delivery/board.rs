//! All sinks of a node, to be looked at and ordered about while it runs.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::detached::{Detached, NewVersion, Order, OrderError, VersionLoader, load};
use super::status::{Progress, SinkStatus};
use crate::head::HeadReport;
use crate::sink_store::{ParkedEvent, SinkStore, VersionRecord};
use crate::stream::Stream;

/// Swaps of inline sinks that may wait for the step loop.
const SWAPS: usize = 16;

/// A swap of an inline sink, made by the node between two events.
#[derive(Debug)]
pub(crate) struct InlineSwap {
    pub(crate) sink: String,
    pub(crate) new: NewVersion,
    pub(crate) configured: bool,
    pub(crate) answer: oneshot::Sender<Result<String, OrderError>>,
}

/// One inline sink on the board.
#[derive(Clone, Debug)]
pub(crate) struct InlineEntry {
    pub(crate) name: String,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) versions: Option<Arc<dyn VersionLoader>>,
}

/// The sinks of a node. Clones look at the same ones.
#[derive(Clone, Debug)]
pub struct Board {
    stream: Stream,
    inline: Vec<InlineEntry>,
    detached: Option<Arc<Detached>>,
    store: Option<SinkStore>,
    swaps: mpsc::Sender<InlineSwap>,
    head: Option<watch::Receiver<HeadReport>>,
}

impl Board {
    pub(crate) fn new(
        stream: Stream,
        inline: Vec<InlineEntry>,
        detached: Option<Arc<Detached>>,
        store: Option<SinkStore>,
    ) -> (Self, mpsc::Receiver<InlineSwap>) {
        let (swaps, inbox) = mpsc::channel(SWAPS);
        (Self { stream, inline, detached, store, swaps, head: None }, inbox)
    }

    /// The stream that is delivered, in its epoch now.
    pub fn stream(&self) -> Stream {
        self.detached.as_ref().map_or_else(|| self.stream.clone(), |detached| detached.window().stream())
    }

    /// Shows the state of the head too.
    pub(crate) fn with_head(self, head: Option<watch::Receiver<HeadReport>>) -> Self {
        Self { head, ..self }
    }

    /// What is known of the head; none if the stream is not one of state events.
    pub fn head(&self) -> Option<HeadReport> {
        self.head.as_ref().map(|head| head.borrow().clone())
    }

    /// Every sink's status, inline ones first.
    pub fn statuses(&self) -> Vec<SinkStatus> {
        let mut statuses: Vec<SinkStatus> = self.inline.iter().map(|entry| entry.progress.borrow().now(None)).collect();
        statuses.extend(self.detached.iter().flat_map(|detached| detached.statuses()));
        statuses
    }

    /// Gives an order to a detached sink.
    ///
    /// # Errors
    ///
    /// [`OrderError`].
    pub async fn order(&self, sink: &str, order: Order) -> Result<String, OrderError> {
        if self.inline(sink).is_some() {
            let message = format!(
                "sink {sink:?} is on the inline lane, where every event goes to every sink at once; with lane=detached it can be \
                 paused, resumed and replayed by itself"
            );
            return Err(OrderError::Refused(message));
        }
        self.known(sink)?;
        match &self.detached {
            Some(detached) => detached.order(sink, order).await,
            None => Err(self.unknown(sink)),
        }
    }

    /// Puts another version of a component in charge of a sink. `configured`: it is the configured file itself, which was replaced.
    ///
    /// # Errors
    ///
    /// [`OrderError`]; then the version before is still in charge.
    pub async fn swap(&self, sink: &str, wasm: Vec<u8>, configured: bool) -> Result<String, OrderError> {
        self.known(sink)?;
        let Some(entry) = self.inline(sink) else {
            return match &self.detached {
                Some(detached) => detached.swap(sink, wasm, configured).await,
                None => Err(self.unknown(sink)),
            };
        };
        let loader = entry.versions.clone().ok_or(OrderError::NotAComponent)?;
        let new = load(move || loader.load(&wasm)).await?;
        let (answer, answered) = oneshot::channel();
        let swap = InlineSwap { sink: sink.to_owned(), new, configured, answer };
        self.swaps.send(swap).await.map_err(|_| OrderError::Ended)?;
        answered.await.map_err(|_| OrderError::Ended)?
    }

    /// What ran when, oldest first.
    ///
    /// # Errors
    ///
    /// If there is no such sink, or the store cannot be read.
    pub fn history(&self, sink: &str) -> Result<Vec<VersionRecord>, OrderError> {
        Ok(self.known(sink)?.map(|store| store.versions(sink)).transpose()?.unwrap_or_default())
    }

    /// A sink's parked events.
    ///
    /// # Errors
    ///
    /// If there is no such sink, or the store cannot be read.
    pub fn parked(&self, sink: &str) -> Result<Vec<ParkedEvent>, OrderError> {
        Ok(self.known(sink)?.map(|store| store.parked(sink)).transpose()?.unwrap_or_default())
    }

    fn known(&self, sink: &str) -> Result<Option<&SinkStore>, OrderError> {
        let detached = self.detached.as_ref().is_some_and(|detached| detached.names().any(|name| name == sink));
        match self.inline(sink).is_some() || detached {
            true => Ok(self.store.as_ref()),
            false => Err(self.unknown(sink)),
        }
    }

    fn inline(&self, sink: &str) -> Option<&InlineEntry> {
        self.inline.iter().find(|entry| entry.name == sink)
    }

    fn unknown(&self, sink: &str) -> OrderError {
        let inline = self.inline.iter().map(|entry| entry.name.clone());
        let detached = self.detached.iter().flat_map(|detached| detached.names().map(str::to_owned));
        OrderError::UnknownSink { sink: sink.to_owned(), known: inline.chain(detached).collect() }
    }
}
