//! Swapping an inline sink, between two events.

use std::time::Duration;

use tokio::time::timeout;

use super::board::InlineSwap;
use super::detached::{NewVersion, OrderError};
use super::failure::SinkFailure;
use super::filter::TagFilter;
use super::handover::{TakesOver, take_over};
use super::inline::{InlineSink, passes};
use crate::component::short_digest;
use crate::error_chain::chain;
use crate::event::{Position, StateEvent, last_event};
use crate::sink::{CloseReason, Delivery, EventSink, OpenInfo, Opened};
use crate::sink_store::{ActiveVersion, Change, SinkStore, VersionRecord};
use crate::source::Reopen;

/// How long the step loop is held up at most by a new version's start and by what has to be put to it again.
const SWAP_TIME: Duration = Duration::from_secs(60);

/// What a swap needs of the node.
pub(crate) struct SwapPlace<'a> {
    pub(crate) info: &'a OpenInfo,
    /// The last event put.
    pub(crate) last: Option<Position>,
    pub(crate) store: Option<&'a SinkStore>,
    pub(crate) reopen: Option<&'a Reopen>,
}

impl InlineSink {
    /// Puts a new version in charge, or leaves this one there and says why.
    ///
    /// # Errors
    ///
    /// If the version before fails while it is brought to rest: that is the failure of an inline sink.
    pub(crate) async fn swap(&mut self, swap: InlineSwap, place: &SwapPlace<'_>) -> Result<(), SinkFailure> {
        let flushed = self.flush().await;
        let outcome = match &flushed {
            Ok(()) => match timeout(SWAP_TIME, self.take_over(swap.new, swap.configured, place)).await {
                Ok(outcome) => outcome,
                Err(_elapsed) => Err(format!("the new version was not ready within {SWAP_TIME:?}")),
            },
            Err(failure) => Err(chain(failure)),
        };
        match &outcome {
            Ok(message) => tracing::info!(sink = self.name(), "{message}"),
            Err(reason) => tracing::error!(sink = self.name(), "swap refused: {reason}"),
        }
        // Whoever asked may have gone.
        let _ = swap.answer.send(outcome.map_err(OrderError::Refused));
        flushed
    }

    async fn take_over(
        &mut self,
        mut new: NewVersion,
        configured: bool,
        place: &SwapPlace<'_>,
    ) -> Result<String, String> {
        let before = self.sink.version().map(|version| version.digest).unwrap_or_default();
        if new.key_value.is_some() {
            return Err("the new version keeps state with key-value, which needs lane=detached".to_owned());
        }
        let saved = match self.sink.handover() {
            Some(handover) => Some(handover.save().await.map_err(|error| chain(&error))?),
            None => None,
        };
        match take_over(&mut *new.sink, place.info, saved.as_ref()).await? {
            TakesOver::WithState => {}
            TakesOver::At(opened) => put_again(&mut *new.sink, &self.filter, opened, place).await?,
        }
        if let Some(store) = place.store {
            let configured = if configured { new.digest.clone() } else { self.configured(store)? };
            let change = activation(self.name(), configured, &new.digest, place.last);
            store.commit(vec![change]).await.map_err(|error| chain(&error))?;
        }
        let mut old = std::mem::replace(&mut self.sink, new.sink);
        if let Err(error) = old.close(CloseReason::Swap).await {
            tracing::warn!(sink = self.name(), "while closing the version before: {error}");
        }
        let (new, before) = (short_digest(&new.digest), short_digest(&before));
        Ok(format!("version {new} took over from {before} after {}", last_event(place.last)))
    }

    fn configured(&self, store: &SinkStore) -> Result<String, String> {
        let active = store.active_version(self.name()).map_err(|error| chain(&error))?;
        let running = self.sink.version().map(|version| version.digest).unwrap_or_default();
        Ok(active.map_or(running, |active| active.configured))
    }
}

/// Without a handover a new version starts with nothing. It may ask for the events again.
async fn put_again(
    sink: &mut dyn EventSink,
    filter: &TagFilter,
    opened: Opened,
    place: &SwapPlace<'_>,
) -> Result<(), String> {
    let after = match opened {
        Opened::Cursor => return Ok(()),
        Opened::After(position) => Some(position),
        Opened::Beginning => None,
    };
    let (Some(last), true) = (place.last, after < place.last) else { return Ok(()) };
    let Some(reopen) = place.reopen else {
        return Err("the new version asks for events again, and the source cannot be read again".to_owned());
    };
    let mut source = reopen.reader();
    source.open().await.map_err(|error| chain(&error))?;
    let delivery = Delivery { catching_up: true, ..Delivery::default() };
    loop {
        let page = source.get_events().await.map_err(|error| chain(&error))?;
        let wanted = |event: &&StateEvent| after.is_none_or(|after| event.position() > after);
        for event in page.events.iter().filter(wanted) {
            if event.position() > last {
                return Ok(());
            }
            if passes(event, filter, sink) {
                sink.put_event(event, delivery).await.map_err(|error| chain(&error))?;
            }
        }
        if page.events.last().is_some_and(|event| event.position() >= last) {
            return sink.flush().await.map_err(|error| chain(&error));
        }
    }
}

fn activation(sink: &str, configured: String, digest: &str, since: Option<Position>) -> Change {
    Change::Activate {
        sink: sink.to_owned(),
        active: ActiveVersion { configured, digest: digest.to_owned(), watched: None },
        record: VersionRecord::now(digest, since, "swap"),
    }
}
