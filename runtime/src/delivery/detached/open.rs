//! Starting an instance, and where it begins.

use tokio::time::Instant;

use super::lane::{Lane, Phase};
use super::trouble::Trouble;
use crate::delivery::failure::Doing;
use crate::delivery::policy::From;
use crate::delivery::status::SinkState;
use crate::sink::{CloseReason, OpenInfo, Opened, SinkError};
use crate::sink_store::{Epoch, Place};
use crate::stream::Stream;

/// Calls that an instance is good for, whatever memory it has.
const RECYCLE_MEMORY_AFTER: u64 = 1_000;

const VOID_STATE: &str = "its key-value was made from events that are void since the stream was rewritten; `hydrant replay SINK --from \
                          POSITION` with --reset-state or --keep-state decides what becomes of it";

impl Lane {
    /// Starts an instance and finds its place.
    pub(super) async fn open(&mut self) -> Result<(), Trouble> {
        if self.has_void_state {
            self.stop_for(VOID_STATE).await;
            return Ok(());
        }
        if !self.has_opened && !self.begin() {
            return Ok(());
        }
        self.forget_instance();
        // Before the id is asked for: one that comes between the two opens the sink once more.
        self.heads_known = self.shared.window.heads_known();
        let info = self.open_info();
        let opened = self.guard.call(self.sink.open(&info)).await.ok_or(Trouble::Cut)?;
        let opened = opened.map_err(|error| self.charge_store(Trouble::at(Doing::Open)(error)))?;
        self.is_open = true;
        // Without a handover, a fresh instance of such a sink would be put the whole log again.
        self.starts_over = opened == Opened::Beginning && self.sink.handover().is_none();
        let start = match self.restore.clone() {
            Some(saved) => {
                if let Some(handover) = self.sink.handover() {
                    let restored = self.guard.call(handover.restore(&saved)).await.ok_or(Trouble::Cut)?;
                    restored.map_err(|error| Trouble::at(Doing::Handover)(error))?;
                }
                self.cursor.durable
            }
            None => self.start_of(opened)?,
        };
        self.restore = None;
        self.start_at(start);
        self.open_failures = 0;
        self.has_opened = true;
        self.phase = Phase::Run;
        self.show_version();
        self.say(SinkState::CatchingUp);
        Ok(())
    }

    /// Shows which version of the sink is in charge.
    pub(super) fn show_version(&self) {
        let (version, description) = (self.sink.version(), self.sink.describe());
        self.update(|progress| {
            progress.status.description = description;
            progress.status.digest = version.map(|version| version.digest);
        });
    }

    pub(super) fn open_info(&self) -> OpenInfo {
        let head_id = self.shared.window.head_id();
        OpenInfo { stream: self.stream.clone(), head_id, resume: self.cursor.durable.map(|place| place.position) }
    }

    /// Chooses the place of a sink's first start; false if it is not known yet.
    fn begin(&mut self) -> bool {
        if self.has_cursor {
            return true;
        }
        self.cursor.durable = match self.policy.from {
            From::Oldest => None,
            From::At(position) => position.before().map(Place::from),
            From::Now => match self.shared.window.history_end() {
                Some(end) => end.map(Place::from),
                None => {
                    // Looked at again when the window changes; the end of history comes soon.
                    self.phase = Phase::Wait { until: Instant::now() + super::settle::SOON, reopen: true };
                    return false;
                }
            },
        };
        true
    }

    /// Where the instance wants to start.
    pub(super) fn start_of(&self, opened: Opened) -> Result<Option<Place>, Trouble> {
        let durable = self.cursor.durable;
        let start = match opened {
            Opened::Cursor => durable,
            Opened::After(position) if durable.is_some_and(|durable| durable.position == position) => durable,
            Opened::After(position) => Some(Place::from(position)),
            Opened::Beginning => None,
        };
        let back = start.map(|start| start.position) < durable.map(|durable| durable.position);
        if back && self.key_value.is_some() {
            let message =
                "it asks for events that its key-value has taken in already; with key-value, `open` may answer \
                           `cursor` only, or a later position"
                    .to_owned();
            return Err(Trouble::at(Doing::Open)(SinkError::Contract { message }));
        }
        Ok(start)
    }

    /// Takes a place as what is durable and taken.
    pub(super) fn start_at(&mut self, start: Option<Place>) {
        self.cursor.durable = start;
        self.taken = start;
        self.unflushed = None;
        self.next_limit = None;
        self.reading.clear();
        self.has_checked_start = false;
        self.update(|progress| progress.taken = start.map(|place| place.position));
        self.show_position();
    }

    /// Once the end of history is known: a place behind it is a place in another log.
    pub(super) fn check_start(&self) -> Result<(), Trouble> {
        let (Some(taken), Some(end)) = (self.taken, self.shared.window.newest()) else { return Ok(()) };
        let named_by_sink = taken.hash.is_none() && !matches!(self.policy.from, From::At(_));
        if named_by_sink && taken.position > end.position {
            let message = format!(
                "it says that its target has everything up to event {}, but the stream ends at event {}: this looks like the \
                 target of another stream",
                taken.position, end.position
            );
            return Err(Trouble::at(Doing::Open)(SinkError::Fatal { message }));
        }
        Ok(())
    }

    /// The instance is gone, or must not be used; what it had taken will be put again.
    pub(super) fn forget_instance(&mut self) {
        self.is_open = false;
        self.unflushed = None;
        self.reading.clear();
        if let Some(key_value) = &self.key_value {
            // Writes that no commit covers are lost, and so the puts that made them have to be repeated.
            key_value.discard();
            self.cursor.durable = self.committed.durable;
        }
    }

    /// A failure of the store inside a guest's call is not the guest's.
    pub(super) fn charge_store(&self, trouble: Trouble) -> Trouble {
        match self.key_value.as_ref().and_then(|key_value| key_value.take_failure()) {
            Some(error) => Trouble::Store(error),
            None => trouble,
        }
    }

    /// The stream has begun another epoch: back to what both have in common, with a new instance.
    pub(super) async fn enter_epoch(&mut self, stream: Stream, common: Option<Place>) -> Result<(), Trouble> {
        self.close(CloseReason::Reopen).await;
        let before = self.cursor.durable;
        self.cursor.enter(Epoch { number: stream.epoch, common });
        self.stream = stream;
        if let Some(key_value) = &self.key_value {
            key_value.discard();
            self.has_void_state = self.cursor.durable != before;
        }
        self.reading.reset();
        // From here on the committed cursor is that of the new epoch, for sinks with key-value too.
        self.commit(Vec::new()).await?;
        self.phase = Phase::Open;
        Ok(())
    }

    /// Closes the instance, if there is one that may be called.
    pub(super) async fn close(&mut self, reason: CloseReason) {
        if std::mem::take(&mut self.is_open) {
            match self.guard.call(self.sink.close(reason)).await {
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::warn!(sink = &*self.name, "while closing: {error}"),
                None => tracing::warn!(sink = &*self.name, "closing it took too long and was cut off"),
            }
        }
        self.unflushed = None;
        self.reading.clear();
    }

    /// Whether the sink was told another head's id than the one known now, or none and would not need the whole log again.
    pub(super) fn has_another_head(&self) -> bool {
        let is_first = self.heads_known == 0;
        self.heads_known != self.shared.window.heads_known()
            && self.sink.reads_head_id()
            && !(is_first && self.starts_over)
    }

    pub(super) fn recycle_is_due(&self) -> bool {
        let usage = self.sink.usage();
        // A guest that is large from the start is not replaced at every call.
        let is_large = usage.memory >= self.policy.recycle_memory && usage.calls >= RECYCLE_MEMORY_AFTER;
        !self.starts_over && (usage.calls >= self.policy.recycle_calls || is_large)
    }

    /// Replaces the instance by a fresh one at the same place.
    pub(super) async fn recycle(&mut self) -> Result<(), Trouble> {
        self.flush().await?;
        self.commit(Vec::new()).await?;
        let saved = self.save().await?;
        let usage = self.sink.usage();
        tracing::debug!(
            sink = &*self.name,
            "a fresh instance after {} calls, with {} bytes of memory in use",
            usage.calls,
            usage.memory
        );
        self.close(CloseReason::Reopen).await;
        self.restore = saved;
        self.phase = Phase::Open;
        Ok(())
    }
}
