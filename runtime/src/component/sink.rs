//! A component as an [`EventSink`].

use async_trait::async_trait;

use super::convert::{self, Columns};
use super::failure::{FailureKind, GuestFailure};
use super::host::GuestLog;
use super::instance::GuestInstance;
use super::limits::Limits;
use super::load::SinkComponent;
use super::manifest::Manifest;
use crate::event::StateEvent;
use crate::sink::{Ack, CloseReason, Delivery, EventSink, OpenInfo, Opened, SinkError};

/// Runs a component as a sink: one instance, started by `open`, dropped at the first failure.
#[derive(Debug)]
pub struct ComponentSink {
    component: SinkComponent,
    limits: Limits,
    config: Vec<(String, String)>,
    log: GuestLog,
    manifest: Option<Manifest>,
    instance: Option<GuestInstance>,
}

/// How far a batch got, in events from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchProgress {
    /// Taken by the sink.
    pub taken: usize,
    /// Of those, durable.
    pub durable: usize,
}

/// A batch broke off.
#[derive(Debug, thiserror::Error)]
#[error("the batch broke off after {} events", progress.taken)]
pub struct BatchError {
    /// What was taken before.
    pub progress: BatchProgress,
    /// What is wrong with the next one, or with the sink.
    #[source]
    pub error: SinkError,
}

impl ComponentSink {
    /// A sink of this name. `config` is given to the guest at `open`.
    pub fn new(name: &str, component: SinkComponent, limits: Limits, config: Vec<(String, String)>) -> Self {
        Self { component, limits, config, log: GuestLog::new(name), manifest: None, instance: None }
    }

    /// What the component says of itself; known once it is open.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Whether the component takes events in batches.
    pub fn takes_batches(&self) -> bool {
        self.component.batch.is_some()
    }

    /// Puts many events in one call. The component must export `batch`.
    ///
    /// # Errors
    ///
    /// [`BatchError`] with what was taken; after a trap or a broken limit that is nothing, and the instance is gone.
    pub async fn put_events(&mut self, events: &[StateEvent], delivery: Delivery) -> Result<BatchProgress, BatchError> {
        let nothing = BatchProgress { taken: 0, durable: 0 };
        let contract = |message: String| BatchError { progress: nothing, error: SinkError::Contract { message } };
        let columns = Columns::of(events, delivery).ok_or_else(|| contract("the batch is too large".to_owned()))?;
        let called = match &mut self.instance {
            Some(instance) => instance.put_events(columns.batch()).await,
            None => Err(gone()),
        };
        let answer = self.keep(called).map_err(|error| BatchError { progress: nothing, error })?;
        let answer = answer.ok_or_else(|| contract("it does not export hydrant:events/batch".to_owned()))?;
        let (progress, error) = match answer {
            Ok(progress) => (progress, None),
            Err(error) => (error.progress, Some(convert::error(error.error))),
        };
        let progress = BatchProgress { taken: progress.taken as usize, durable: progress.durable as usize };
        let complete = progress.taken == events.len();
        if progress.durable > progress.taken || progress.taken > events.len() || complete != error.is_none() {
            return Err(contract(format!(
                "of a batch of {} it says to have taken {} and made {} durable, {} an error",
                events.len(),
                progress.taken,
                progress.durable,
                if error.is_some() { "with" } else { "without" },
            )));
        }
        if progress.durable < progress.taken && self.component.flush.is_none() {
            return Err(contract(accepted_without_flush()));
        }
        error.map_or(Ok(progress), |error| Err(BatchError { progress, error }))
    }

    /// Drops the instance after a failure: the next call would find it half-finished.
    fn keep<T>(&mut self, called: Result<T, GuestFailure>) -> Result<T, SinkError> {
        called.map_err(|failure| {
            self.instance = None;
            self.log.report_dropped();
            SinkError::Guest(failure)
        })
    }

    async fn describe(&mut self, info: &OpenInfo) -> Result<(), SinkError> {
        let Some(instance) = &mut self.instance else { return Ok(()) };
        let described = instance.describe().await;
        let manifest = self.keep(described)?.map(Manifest::from);
        if let Some(manifest) = manifest.as_ref().filter(|manifest| !manifest.reads(&info.stream.format)) {
            let accepts: Vec<String> = manifest.accepts.iter().map(ToString::to_string).collect();
            let message =
                format!("the stream is {}, but this component reads {} only", info.stream.format, accepts.join(", "));
            self.instance = None;
            return Err(SinkError::Fatal { message });
        }
        self.manifest = manifest;
        Ok(())
    }
}

fn gone() -> GuestFailure {
    GuestFailure { kind: FailureKind::Gone, frames: Vec::new(), fuel_used: 0, memory: 0 }
}

fn accepted_without_flush() -> String {
    "it answered `accepted` but does not export hydrant:events/flush, so the event could never become durable"
        .to_owned()
}

#[async_trait]
impl EventSink for ComponentSink {
    fn describe(&self) -> String {
        let digest = self.component.digest().to_string();
        format!("component sha256:{}", digest.get(..12).unwrap_or(&digest))
    }

    async fn open(&mut self, info: &OpenInfo) -> Result<Opened, SinkError> {
        let started = GuestInstance::start(&self.component, &self.limits, &self.log).await;
        self.instance = Some(self.keep(started)?);
        self.describe(info).await?;
        let config: Vec<(&str, &str)> = self.config.iter().map(|(name, value)| (&**name, &**value)).collect();
        let opened = match &mut self.instance {
            Some(instance) => instance.open(convert::open_info(info, &config)).await,
            None => Err(gone()),
        };
        match self.keep(opened)? {
            None => Ok(Opened::Cursor),
            Some(Ok(opened)) => Ok(convert::opened(opened)),
            Some(Err(error)) => Err(convert::error(error)),
        }
    }

    async fn put_event(&mut self, event: &StateEvent, delivery: Delivery) -> Result<Ack, SinkError> {
        if self.manifest.as_ref().is_some_and(|manifest| !manifest.wants(event.tag())) {
            return Ok(Ack::Durable);
        }
        let called = match &mut self.instance {
            Some(instance) => instance.put_event(convert::event(event, delivery)).await,
            None => Err(gone()),
        };
        match self.keep(called)?.map(convert::ack).map_err(convert::error)? {
            Ack::Accepted if self.component.flush.is_none() => {
                Err(SinkError::Contract { message: accepted_without_flush() })
            }
            ack => Ok(ack),
        }
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        let called = match &mut self.instance {
            Some(instance) => instance.flush().await,
            None => Err(gone()),
        };
        self.keep(called)?.unwrap_or(Ok(())).map_err(convert::error)
    }

    async fn close(&mut self, reason: CloseReason) -> Result<(), SinkError> {
        let Some(mut instance) = self.instance.take() else { return Ok(()) };
        let closed = instance.close(convert::reason(reason)).await;
        // What the guest still holds of an unfinished line comes out as its streams are dropped.
        drop(instance);
        self.log.report_dropped();
        self.keep(closed)
    }

    fn log_tail(&self) -> Vec<String> {
        self.log.tail()
    }
}
