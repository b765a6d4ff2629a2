//! Cuts a guest's call off when an order has waited long enough for it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::delivery::overrun::Overrun;

/// How long a call under way may go on once an order waits: most calls end well within it, and an operator does not wait longer.
const DRAIN: Duration = Duration::from_secs(1);

/// How long a call that an order itself makes may take: a flush, a close, the start of a new version. The sink's own limits may be lower.
pub(super) const ORDERED: Duration = Duration::from_secs(10);

/// Knows how many orders wait.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    waiting: watch::Receiver<usize>,
    /// Whether an order is being obeyed.
    pub(super) obeying: bool,
    /// Tells of calls that take long on a processor.
    pub(super) overrun: Overrun,
}

impl Guard {
    pub(super) fn new(waiting: &watch::Sender<usize>) -> Self {
        Self { waiting: waiting.subscribe(), obeying: false, overrun: Overrun::default() }
    }

    /// Whether an order waits.
    pub(super) fn is_called(&self) -> bool {
        *self.waiting.borrow() > 0
    }

    /// Runs a call; none if it did not end in time: soon after an order came in, or within what an order may take. The instance must not
    /// be used afterwards.
    pub(super) async fn call<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let call = self.overrun.watch(call);
        if self.obeying {
            return timeout(ORDERED, call).await.ok();
        }
        let mut waiting = self.waiting.clone();
        tokio::select! {
            biased;
            outcome = call => Some(outcome),
            () = async {
                // An error means that nobody is left to give orders.
                if waiting.wait_for(|waiting| *waiting > 0).await.is_err() {
                    std::future::pending::<()>().await;
                }
                sleep(DRAIN).await;
            } => None,
        }
    }
}
