//! The threads on which detached guests run, apart from the step loop.

use std::io;
use std::sync::Arc;

use rustix::process::setpriority_process;
use rustix::thread::gettid;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads for blocking work of guests (files of WASI), for each of the two runtimes.
const BLOCKING_THREADS: usize = 8;

/// The lowest priority there is: such a thread gets what others leave.
const LOWEST_PRIORITY: i32 = 19;

/// Whether a sink keeps to its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    #[default]
    Good,
    /// It overran or broke one lately.
    Poor,
}

/// Two runtimes: one for sinks in good standing, one at low priority for those that overran or broke a limit. On each, fuel yields share
/// the threads fairly.
#[derive(Clone, Debug)]
pub struct GuestWorkers {
    runtimes: Arc<Runtimes>,
}

#[derive(Debug)]
struct Runtimes {
    good: Option<Runtime>,
    poor: Option<Runtime>,
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        // A runtime must not be waited for where async code runs; sinks have been stopped before.
        for runtime in [self.good.take(), self.poor.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

impl GuestWorkers {
    /// Starts the threads: one a core for each runtime.
    ///
    /// # Errors
    ///
    /// If the system refuses them.
    pub fn start() -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let good = builder("guests", threads).build()?;
        let mut poor = builder("guests-low", threads);
        poor.on_thread_start(|| {
            if let Err(error) = setpriority_process(Some(gettid()), LOWEST_PRIORITY) {
                tracing::warn!("cannot lower the priority of a thread for guests that broke a limit: {error}");
            }
        });
        Ok(Self { runtimes: Arc::new(Runtimes { good: Some(good), poor: Some(poor.build()?) }) })
    }

    pub(super) fn handle(&self, standing: Standing) -> Option<&Handle> {
        let runtime = match standing {
            Standing::Good => &self.runtimes.good,
            Standing::Poor => &self.runtimes.poor,
        };
        runtime.as_ref().map(Runtime::handle)
    }
}

fn builder(name: &str, threads: usize) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.thread_name(name).worker_threads(threads).max_blocking_threads(BLOCKING_THREADS).enable_all();
    builder
}
