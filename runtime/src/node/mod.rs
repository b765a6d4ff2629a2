//! The node of ADR 29: one event source, many event sinks.

mod hydration;
mod report;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::delivery::{Board, Detached, InlineSink, InlineSwap, Lineage, SinkFailure, SwapPlace};
use crate::event::StateEvent;
use crate::sink::{CloseReason, Delivery, OpenInfo};
use crate::sink_store::SinkStore;
use crate::source::{EventSource, Next, Page, Reopen};
use crate::store::Finding;
use crate::stream::Stream;

use hydration::Hydration;

pub use report::{Delivered, NodeError, Observer, Outcome, Silent};

/// One event source and the sinks that its events are put to, in the order configured.
#[derive(Debug)]
pub struct Node {
    stream: Stream,
    source: Box<dyn EventSource>,
    sinks: Vec<InlineSink>,
    detached: Option<(Arc<Detached>, Lineage)>,
    store: Option<SinkStore>,
    reopen: Option<Reopen>,
    swaps: Option<mpsc::Receiver<InlineSwap>>,
    head: Option<Hydration>,
    delivered: Delivered,
    /// A page that was read but not yet put: the first one after history.
    ahead: Option<Page>,
}

impl Node {
    /// A node that delivers the events of this source.
    pub fn new(stream: Stream, source: Box<dyn EventSource>, sinks: Vec<InlineSink>) -> Self {
        Self {
            stream,
            source,
            sinks,
            detached: None,
            store: None,
            reopen: None,
            swaps: None,
            head: None,
            delivered: Delivered::default(),
            ahead: None,
        }
    }

    /// Keeps what runs when in this store, and reads the source again with `reopen` for a new version of an inline sink.
    #[must_use]
    pub fn with_versions(self, store: SinkStore, reopen: Reopen) -> Self {
        Self { store: Some(store), reopen: Some(reopen), ..self }
    }

    /// The sinks, to be looked at and ordered about while the node runs.
    pub fn board(&mut self) -> Board {
        for sink in &mut self.sinks {
            sink.introduce();
            sink.report(None, true);
        }
        let inline = self.sinks.iter().map(InlineSink::entry).collect();
        let detached = self.detached.as_ref().map(|(detached, _)| Arc::clone(detached));
        let (board, swaps) = Board::new(self.stream.clone(), inline, detached, self.store.clone());
        self.swaps = Some(swaps);
        board.with_head(self.head.as_ref().map(Hydration::report))
    }

    /// Feeds these sinks too, after the inline ones.
    #[must_use]
    pub fn with_detached(self, detached: Arc<Detached>, lineage: Lineage) -> Self {
        Self { detached: Some((detached, lineage)), ..self }
    }

    /// What was delivered so far.
    pub fn delivered(&self) -> &Delivered {
        &self.delivered
    }

    /// Opens the source, then the sinks in order.
    ///
    /// # Errors
    ///
    /// The first that does not open.
    pub async fn open(&mut self) -> Result<(), NodeError> {
        self.source.open().await?;
        let info = self.open_info();
        for sink in &mut self.sinks {
            sink.open(&info).await?;
        }
        Ok(())
    }

    fn open_info(&self) -> OpenInfo {
        let head_id = self.head.as_ref().and_then(|head| head.head_id().map(str::to_owned));
        OpenInfo { stream: self.stream.clone(), head_id, resume: None }
    }

    /// Re-submits the source's history to every sink, as ADR 29 demands at every start, and folds it into the state of the head in the same
    /// pass.
    ///
    /// # Errors
    ///
    /// The source's or the first sink's failure, or that the log's head is not the one configured.
    pub async fn hydrate(
        &mut self,
        stop: &CancellationToken,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, NodeError> {
        loop {
            let page = self.source.get_events().await?;
            if !page.history {
                self.ahead = Some(page);
                self.end_history().await?;
                return Ok(Outcome::Hydrated);
            }
            self.check_history(&page).await?;
            if let Some(outcome) = self.step(page, stop, observer).await? {
                if outcome == Outcome::Hydrated {
                    self.end_history().await?;
                    self.end();
                }
                return Ok(outcome);
            }
        }
    }

    /// Compares a page of history with what was delivered before, and begins another epoch if sinks want rewritten history put again.
    async fn check_history(&mut self, page: &Page) -> Result<(), NodeError> {
        let Some((detached, lineage)) = &mut self.detached else { return Ok(()) };
        if let Some(rewritten) = lineage.check(&page.events).await? {
            detached.window().rewrite(rewritten.stream.clone(), rewritten.common);
            self.enter_epoch(rewritten.stream).await?;
        }
        Ok(())
    }

    async fn end_history(&mut self) -> Result<(), NodeError> {
        self.check_head().await?;
        let Some((detached, lineage)) = &mut self.detached else { return Ok(()) };
        let rewritten = lineage.check_end().await?;
        if let Some(rewritten) = &rewritten {
            detached.window().rewrite(rewritten.stream.clone(), rewritten.common);
        }
        detached.window().end_history();
        match rewritten {
            Some(rewritten) => self.enter_epoch(rewritten.stream).await,
            None => Ok(()),
        }
    }

    /// Inline sinks learn of the new epoch by being opened again.
    async fn enter_epoch(&mut self, stream: Stream) -> Result<(), NodeError> {
        self.stream = stream;
        let info = self.open_info();
        for sink in &mut self.sinks {
            sink.reopen(&info).await?;
        }
        Ok(())
    }

    /// Nothing will follow.
    fn end(&self) {
        if let Some((detached, _)) = &self.detached {
            detached.window().end();
        }
    }

    /// Puts each event that is added to the source to every sink, until the token is cancelled.
    ///
    /// # Errors
    ///
    /// The source's or the first sink's failure.
    pub async fn follow(
        &mut self,
        stop: &CancellationToken,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, NodeError> {
        loop {
            let page = match self.ahead.take() {
                Some(page) => page,
                None => tokio::select! {
                    page = self.source.get_events() => page?,
                    failure = failure_of(self.detached.as_ref()) => return Err(failure.into()),
                    () = stop.cancelled() => return Ok(Outcome::Stopped),
                },
            };
            if let Some(outcome) = self.step(page, stop, observer).await? {
                return Ok(outcome);
            }
        }
    }

    /// Waits until every detached sink has made everything up to the last event delivered durable. Sinks that are paused or stopped are not
    /// waited for.
    ///
    /// # Errors
    ///
    /// The failure of a sink whose failures end the process.
    pub async fn drain(&mut self, stop: &CancellationToken, observer: &mut dyn Observer) -> Result<Outcome, NodeError> {
        let Some((detached, _)) = &self.detached else { return Ok(Outcome::Ended) };
        detached.window().end();
        tokio::select! {
            biased;
            failure = detached.failure() => Err(failure.into()),
            () = detached.drained(self.delivered.last, |statuses| observer.draining(statuses)) => Ok(Outcome::Ended),
            () = stop.cancelled() => Ok(Outcome::Stopped),
        }
    }

    /// Closes the source; flushes and closes every sink. After a failure this is done for the sinks that did not fail.
    ///
    /// # Errors
    ///
    /// The first sink that fails to; the others are closed all the same.
    pub async fn close(&mut self, reason: CloseReason) -> Result<(), NodeError> {
        let mut first = None;
        self.source.close().await;
        for sink in &mut self.sinks {
            let flushed = sink.flush().await;
            let closed = sink.close(if flushed.is_ok() { reason } else { CloseReason::Failure }).await;
            first = first.or(flushed.and(closed).err());
        }
        if let Some((detached, lineage)) = &mut self.detached {
            detached.stop().await;
            if let Err(error) = lineage.keep().await {
                tracing::warn!("the last events of the stream could not be kept: {error}");
            }
        }
        first.map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Puts a page to all sinks and waits as it says; an outcome if that is the end.
    async fn step(
        &mut self,
        page: Page,
        stop: &CancellationToken,
        observer: &mut dyn Observer,
    ) -> Result<Option<Outcome>, NodeError> {
        for finding in &page.findings {
            self.delivered.skipped += u64::from(matches!(finding, Finding::Skipped(_)));
            observer.found(finding);
        }
        self.fold(&page).await;
        let delivery = Delivery { catching_up: page.history, ..Delivery::default() };
        for event in &page.events {
            if stop.is_cancelled() {
                return Ok(Some(Outcome::Stopped));
            }
            self.put(event, delivery).await?;
        }
        self.flush_due().await?;
        for sink in &mut self.sinks {
            sink.report(page.events.last(), page.history);
        }
        self.note_head(&page).await?;
        self.feed(page.events, page.history).await;
        self.swap_ordered().await?;
        observer.delivered(&self.delivered, page.progress);
        match page.next {
            // A source that waited by itself. A timer would take its shortest time, a millisecond.
            Next::Wait(Duration::ZERO) | Next::More => Ok(stop.is_cancelled().then_some(Outcome::Stopped)),
            Next::Wait(time) => self.wait(time, stop).await,
            Next::End => Ok(Some(if page.history { Outcome::Hydrated } else { Outcome::Ended })),
        }
    }

    /// Swaps inline sinks whose swap was ordered meanwhile.
    async fn swap_ordered(&mut self) -> Result<(), NodeError> {
        while let Some(swap) = self.swaps.as_mut().and_then(|swaps| swaps.try_recv().ok()) {
            self.swap(swap).await?;
        }
        Ok(())
    }

    async fn swap(&mut self, swap: InlineSwap) -> Result<(), NodeError> {
        let info = self.open_info();
        let place = SwapPlace {
            info: &info,
            last: self.delivered.last,
            store: self.store.as_ref(),
            reopen: self.reopen.as_ref(),
        };
        if let Some(sink) = self.sinks.iter_mut().find(|sink| sink.name() == swap.sink) {
            sink.swap(swap, &place).await?;
            sink.introduce();
            sink.report(None, false);
        }
        Ok(())
    }

    /// Hands a page to the detached sinks.
    async fn feed(&mut self, events: Vec<StateEvent>, history: bool) {
        let Some((detached, lineage)) = &mut self.detached else { return };
        if !history {
            lineage.follow(&events);
        }
        lineage.keep_now_and_then();
        // Inline sinks must not be held up by detached ones, not even at start.
        if history && self.sinks.is_empty() {
            detached.window().push_history(events).await;
        } else {
            detached.window().push(events);
        }
    }

    /// Puts one event to all sinks in sequence.
    async fn put(&mut self, event: &StateEvent, delivery: Delivery) -> Result<(), NodeError> {
        for sink in &mut self.sinks {
            sink.put_event(event, delivery).await?;
        }
        self.delivered.events += 1;
        self.delivered.last = Some(event.position());
        Ok(())
    }

    /// Waits for the source, flushing what comes due meanwhile.
    async fn wait(&mut self, time: Duration, stop: &CancellationToken) -> Result<Option<Outcome>, NodeError> {
        let until = Instant::now() + time;
        loop {
            let due = self.sinks.iter().filter_map(InlineSink::flush_due).min().filter(|due| *due < until);
            let failure = failure_of(self.detached.as_ref());
            tokio::select! {
                () = stop.cancelled() => return Ok(Some(Outcome::Stopped)),
                failure = failure => return Err(failure.into()),
                () = sleep_until(due.unwrap_or(until)) => {}
            }
            self.flush_due().await?;
            self.swap_ordered().await?;
            if due.is_none() {
                return Ok(None);
            }
        }
    }

    async fn flush_due(&mut self) -> Result<(), NodeError> {
        if self.sinks.iter().all(|sink| sink.flush_due().is_none()) {
            return Ok(());
        }
        let now = Instant::now();
        for sink in self.sinks.iter_mut().filter(|sink| sink.flush_due().is_some_and(|due| due <= now)) {
            sink.flush().await?;
        }
        Ok(())
    }
}

/// The failure of a detached sink that ends the process; never, if there is none.
async fn failure_of(detached: Option<&(Arc<Detached>, Lineage)>) -> SinkFailure {
    match detached {
        Some((detached, _)) => detached.failure().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever uses the library may run a node as a task.
    #[test]
    fn a_node_may_move_between_threads_while_it_runs() {
        fn moves<F: Future + Send>(_run: impl FnOnce(Node) -> F) {}
        moves(|mut node| async move {
            let stop = CancellationToken::new();
            node.open().await?;
            node.hydrate(&stop, &mut Silent).await?;
            node.follow(&stop, &mut Silent).await?;
            node.drain(&stop, &mut Silent).await?;
            node.close(CloseReason::Stop).await
        });
    }
}
