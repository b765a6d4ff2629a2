//! A component as an [`EventSink`].

use std::sync::Arc;

use async_trait::async_trait;

use super::bindings::handover;
use super::cache::short_digest;
use super::convert::{self, ColumnBuffers, Columns};
use super::failure::{FailureKind, GuestFailure};
use super::grants::Grants;
use super::host::{GuestLog, HostState, Resolve, system_resolver};
use super::instance::GuestInstance;
use super::limits::Limits;
use super::load::SinkComponent;
use super::manifest::Manifest;
use crate::event::StateEvent;
use crate::sink::{
    Ack, Batch, BatchError, BatchProgress, CloseReason, Delivery, EventSink, Handover, OpenInfo, Opened, SinkError,
    SinkVersion, Usage,
};
use crate::sink_store::{KeyValue, Quota, Saved, SinkStore};

/// Runs a component as a sink: one instance, started by `open`, dropped at the first failure.
#[derive(Debug)]
pub struct ComponentSink {
    component: SinkComponent,
    limits: Limits,
    config: Vec<(String, String)>,
    grants: Grants,
    resolver: Arc<dyn Resolve>,
    log: GuestLog,
    key_value: Option<KeyValue>,
    manifest: Option<Manifest>,
    instance: Option<GuestInstance>,
    buffers: ColumnBuffers,
}

impl ComponentSink {
    /// A sink of this name. `config` is given to the guest at `open`.
    pub fn new(name: &str, component: SinkComponent, limits: Limits, config: Vec<(String, String)>) -> Self {
        let log = GuestLog::new(name);
        let buffers = ColumnBuffers::default();
        let (grants, resolver) = (Grants::default(), system_resolver());
        Self {
            component,
            limits,
            config,
            grants,
            resolver,
            log,
            key_value: None,
            manifest: None,
            instance: None,
            buffers,
        }
    }

    /// Grants it these rights; it has them as far as its manifest asks for them.
    #[must_use]
    pub fn with_grants(self, grants: Grants) -> Self {
        Self { grants, ..self }
    }

    /// Lets another than the system find the hosts of its requests.
    #[must_use]
    pub fn with_resolver(self, resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, ..self }
    }

    /// Gives the sink its key-value, if the component imports it and it was granted. Whoever drives the sink commits the writes.
    pub fn keep_state(&mut self, store: &SinkStore, name: &str) -> Option<KeyValue> {
        let quota = Quota { keys: self.limits.key_value_keys, bytes: self.limits.key_value_bytes };
        let is_given = self.grants.key_value && self.component.uses_key_value();
        self.key_value = is_given.then(|| KeyValue::new(store, name, quota));
        self.key_value.clone()
    }

    /// What the component says of itself; known once it is open.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Drops the instance after a failure: the next call would find it half-finished.
    fn keep<T>(&mut self, called: Result<T, GuestFailure>) -> Result<T, SinkError> {
        called.map_err(|failure| {
            self.instance = None;
            self.log.report_dropped();
            SinkError::Guest(failure)
        })
    }

    /// Asks the component what it is, in an instance that has no rights. It answers the same each time, so it is asked once.
    async fn ask_manifest(&mut self) -> Result<(), SinkError> {
        if self.component.lifecycle.is_none() || self.manifest.is_some() {
            return Ok(());
        }
        let state = HostState::bare(&self.limits, &self.log);
        let started = GuestInstance::start(&self.component, &self.limits, state).await;
        let described = self.keep(started)?.describe().await;
        self.manifest = self.keep(described)?.map(Manifest::from);
        Ok(())
    }

    /// Refuses a stream of a format that the component does not read.
    fn check_reads(&self, info: &OpenInfo) -> Result<(), SinkError> {
        let Some(manifest) = self.manifest.as_ref().filter(|manifest| !manifest.reads(&info.stream.format)) else {
            return Ok(());
        };
        let accepts: Vec<String> = manifest.accepts.iter().map(ToString::to_string).collect();
        let message =
            format!("the stream is {}, but this component reads {} only", info.stream.format, accepts.join(", "));
        Err(SinkError::Fatal { message })
    }

    /// The state of an instance that has the rights that were granted and asked for.
    fn state(&self) -> Result<HostState, SinkError> {
        let fatal = |error: &dyn std::error::Error| SinkError::Fatal { message: error.to_string() };
        if self.component.uses_key_value() && !self.grants.key_value {
            let message = "it imports key-value, which was not granted; grant.key-value=yes grants it".to_owned();
            return Err(SinkError::Fatal { message });
        }
        if self.component.uses_key_value() && self.key_value.is_none() {
            let message = "it keeps state with key-value, which needs the detached lane".to_owned();
            return Err(SinkError::Contract { message });
        }
        let needs = self.manifest.as_ref().map(|manifest| manifest.needs.as_slice()).unwrap_or_default();
        let rights = self.grants.asked(needs, self.log.sink()).map_err(|missing| fatal(&missing))?;
        let state = HostState::new(&self.limits, &self.log, &rights, self.component.digest().seed(), &self.resolver);
        Ok(state.map_err(|error| fatal(&error))?.with_key_value(self.key_value.as_ref()))
    }
}

#[async_trait]
impl Batch for ComponentSink {
    async fn put_events(&mut self, events: &[StateEvent], delivery: Delivery) -> Result<BatchProgress, BatchError> {
        let nothing = BatchProgress::default();
        let contract = |message: String| BatchError { progress: nothing, error: SinkError::Contract { message } };
        let columns = Columns::of(&mut self.buffers, events, delivery);
        let columns = columns.ok_or_else(|| contract("the batch is too large".to_owned()))?;
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
}

#[async_trait]
impl Handover for ComponentSink {
    async fn save(&mut self) -> Result<Saved, SinkError> {
        let called = match &mut self.instance {
            Some(instance) => instance.save().await,
            None => Err(gone()),
        };
        match self.keep(called)? {
            Some(Ok(saved)) if saved.bytes.len() as u64 <= self.limits.handover_bytes => {
                Ok(Saved { version: saved.version, bytes: saved.bytes })
            }
            Some(Ok(saved)) => Err(SinkError::Fatal {
                message: format!(
                    "its state has {} bytes, more than the limit handover-bytes ({}) allows",
                    saved.bytes.len(),
                    self.limits.handover_bytes
                ),
            }),
            Some(Err(message)) => Err(SinkError::Fatal { message }),
            None => Err(SinkError::Contract { message: "it does not export hydrant:events/handover".to_owned() }),
        }
    }

    async fn restore(&mut self, saved: &Saved) -> Result<(), SinkError> {
        let called = match &mut self.instance {
            Some(instance) => instance.restore(saved.version, &saved.bytes).await,
            None => Err(gone()),
        };
        let message = match self.keep(called)? {
            Some(Ok(())) => return Ok(()),
            Some(Err(handover::RestoreError::UnknownVersion(known))) => {
                format!("it does not know version {} of the state; it answered {known}", saved.version)
            }
            Some(Err(handover::RestoreError::Invalid(message))) => format!("it found the state invalid: {message}"),
            None => "it does not export hydrant:events/handover".to_owned(),
        };
        Err(SinkError::Fatal { message })
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
        format!("component sha256:{}", short_digest(&self.component.digest().to_string()))
    }

    async fn open(&mut self, info: &OpenInfo) -> Result<Opened, SinkError> {
        self.instance = None;
        self.ask_manifest().await?;
        self.check_reads(info)?;
        let started = GuestInstance::start(&self.component, &self.limits, self.state()?).await;
        self.instance = Some(self.keep(started)?);
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

    fn wants(&self, tag: &str) -> bool {
        self.manifest.as_ref().is_none_or(|manifest| manifest.wants(tag))
    }

    fn batch(&mut self) -> Option<&mut dyn Batch> {
        self.component.batch.is_some().then_some(self as &mut dyn Batch)
    }

    fn handover(&mut self) -> Option<&mut dyn Handover> {
        self.component.handover.is_some().then_some(self as &mut dyn Handover)
    }

    fn reads_head_id(&self) -> bool {
        self.component.lifecycle.is_some()
    }

    fn version(&self) -> Option<SinkVersion> {
        Some(SinkVersion {
            digest: self.component.digest().to_string(),
            irreversible: self.manifest.as_ref().is_some_and(|manifest| manifest.irreversible),
            key_value: self.component.uses_key_value(),
        })
    }

    fn usage(&self) -> Usage {
        self.instance.as_ref().map(GuestInstance::usage).unwrap_or_default()
    }
}
