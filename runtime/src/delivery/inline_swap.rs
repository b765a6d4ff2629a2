//! Swapping an inline sink, between two events.

use std::time::{Duration, UNIX_EPOCH};

use tokio::time::timeout;

use super::board::InlineSwap;
use super::detached::{NewVersion, OrderError};
use super::failure::SinkFailure;
use super::inline::InlineSink;
use crate::error_chain::chain;
use crate::event::{Position, StateEvent};
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
        let opened = new.sink.open(place.info).await.map_err(|error| chain(&error))?;
        match (&saved, new.sink.handover()) {
            (Some(saved), Some(handover)) => handover.restore(saved).await.map_err(|error| chain(&error))?,
            (saved, _) => self.put_again(&mut *new.sink, opened, saved.is_some(), place).await?,
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
        let at = place.last.map_or_else(|| "the beginning".to_owned(), |last| format!("event {last}"));
        let digests = [&new.digest, &before].map(|digest| digest.get(..12).unwrap_or(digest).to_owned());
        Ok(format!("version {} took over from {} after {at}", digests[0], digests[1]))
    }

    fn configured(&self, store: &SinkStore) -> Result<String, String> {
        let active = store.active_version(self.name()).map_err(|error| chain(&error))?;
        let running = self.sink.version().map(|version| version.digest).unwrap_or_default();
        Ok(active.map_or(running, |active| active.configured))
    }

    /// Without a handover a new version starts with nothing. It may ask for the events again; if it does not, only a sink without state can be
    /// replaced.
    async fn put_again(
        &self,
        sink: &mut dyn EventSink,
        opened: Opened,
        had_state: bool,
        place: &SwapPlace<'_>,
    ) -> Result<(), String> {
        let after = match opened {
            Opened::Cursor if had_state => {
                return Err("the running version hands its state over, and the new one neither takes it nor asks for the events \
                            again"
                    .to_owned());
            }
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
                if self.passes(event, sink) {
                    sink.put_event(event, delivery).await.map_err(|error| chain(&error))?;
                }
            }
            if page.events.last().is_some_and(|event| event.position() >= last) {
                return sink.flush().await.map_err(|error| chain(&error));
            }
        }
    }
}

fn activation(sink: &str, configured: String, digest: &str, since: Option<Position>) -> Change {
    let at = UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs());
    Change::Activate {
        sink: sink.to_owned(),
        active: ActiveVersion { configured, digest: digest.to_owned(), watched: None },
        record: VersionRecord { digest: digest.to_owned(), since, at, reason: "swap".to_owned() },
    }
}
