//! How wasmtime is set up, and the clock behind its epochs.

use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine};

use super::load::{LoadError, Loaded};

/// Milliseconds between two epochs. Epochs only back up the wall-clock limits, so this may be coarse.
pub(super) const EPOCH_MS: u64 = 100;

/// Stack for host functions, on top of the guest's own: they run on the same one.
const HOST_STACK: usize = 1024 * 1024;

/// A wasmtime engine for components with one stack limit; its epochs advance as long as it lives.
#[derive(Clone, Debug)]
pub struct SinkEngine {
    engine: Engine,
    /// Bytes of a guest's call stack.
    stack: u64,
    /// Components in use, by digest: many sinks of one component share its code.
    loaded: Arc<Mutex<HashMap<String, Weak<Loaded>>>>,
    /// Dropping the last of these ends the ticker.
    _ticker: Arc<Sender<()>>,
}

impl SinkEngine {
    /// An engine whose guests have a call stack of this many bytes.
    ///
    /// # Errors
    ///
    /// [`LoadError::Engine`] if wasmtime or the system refuses.
    pub fn new(stack: u64) -> Result<Self, LoadError> {
        let engine = Engine::new(&Self::config(stack)).map_err(LoadError::Engine)?;
        let ticker = start_ticker(&engine).map_err(|error| LoadError::Engine(error.into()))?;
        Ok(Self { engine, stack, loaded: Arc::default(), _ticker: Arc::new(ticker) })
    }

    /// The settings, which whoever compiles for this engine must have too.
    pub(super) fn config(stack: u64) -> Config {
        let stack = usize::try_from(stack).unwrap_or(usize::MAX);
        let mut config = Config::new();
        config.consume_fuel(true).epoch_interruption(true);
        config.max_wasm_stack(stack).async_stack_size(stack.saturating_add(HOST_STACK));
        // The component async ABI triples the price of a call, and nothing in the contract needs it.
        config.concurrency_support(false);
        config
    }

    pub(super) fn stack(&self) -> u64 {
        self.stack
    }

    /// A component that is in use already.
    pub(super) fn loaded(&self, digest: &str) -> Option<Arc<Loaded>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(digest)?.upgrade()
    }

    pub(super) fn keep_loaded(&self, digest: String, component: &Arc<Loaded>) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, component| component.strong_count() > 0);
        loaded.insert(digest, Arc::downgrade(component));
    }

    /// The engine itself.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

fn start_ticker(engine: &Engine) -> std::io::Result<Sender<()>> {
    let (ticker, ended) = channel::<()>();
    let engine = engine.weak();
    thread::Builder::new().name("epochs".to_owned()).spawn(move || {
        while ended.recv_timeout(Duration::from_millis(EPOCH_MS)) == Err(RecvTimeoutError::Timeout) {
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
    })?;
    Ok(ticker)
}
