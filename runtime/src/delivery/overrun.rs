//! A call that takes long on a processor goes on among the sinks of poor standing: it is not cut off, and no good neighbour waits for it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How long one call may be on a processor among the sinks in good standing: some thousand times what a small put takes, and no longer than
/// others can wait. The limits of a sink are far above that, so that rare work may be done.
const SHARE: Duration = Duration::from_millis(5);

/// What a lane's calls tell whoever drives the lane. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrun(Arc<AtomicBool>);

impl Overrun {
    /// Makes a call and adds up its time on a processor.
    pub(super) async fn watch<T>(&self, call: impl Future<Output = T>) -> T {
        let (mut call, mut taken) = (pin!(call), Duration::ZERO);
        let watched = poll_fn(|context| {
            let start = Instant::now();
            let polled = call.as_mut().poll(context);
            taken += start.elapsed();
            if taken > SHARE {
                self.0.store(true, Ordering::Relaxed);
            }
            polled
        });
        watched.await
    }

    /// Whether a call took more than its share since this was asked last.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a lane is while it runs.
pub(super) type Running<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs until it is through, or a call takes more than its share.
pub(super) struct Among<T> {
    running: Option<Running<T>>,
    overrun: Overrun,
}

/// How that ended.
pub(super) enum Left<T> {
    Through(T),
    /// In the middle of a call; it goes on wherever it is run next.
    Overran(Running<T>),
}

impl<T> Among<T> {
    pub(super) fn new(running: Running<T>, overrun: Overrun) -> Self {
        Self { running: Some(running), overrun }
    }
}

impl<T> Future for Among<T> {
    type Output = Left<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Left<T>> {
        let Some(mut running) = self.running.take() else { return Poll::Pending };
        match running.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Left::Through(outcome)),
            Poll::Pending if self.overrun.is_told() => Poll::Ready(Left::Overran(running)),
            Poll::Pending => {
                self.running = Some(running);
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;

    /// Keeps a processor busy, with pauses in which others may be.
    async fn work(time: Duration) -> &'static str {
        for _ in 0..10 {
            let start = Instant::now();
            while start.elapsed() < time / 10 {
                std::hint::spin_loop();
            }
            yield_now().await;
        }
        "done"
    }

    #[tokio::test]
    async fn a_long_call_leaves_in_the_middle_and_goes_on_where_it_is_run_next() {
        let overrun = Overrun::default();
        let watched = overrun.clone();
        let running: Running<&str> = Box::pin(async move { watched.watch(work(SHARE * 4)).await });
        let Left::Overran(running) = Among::new(running, overrun.clone()).await else { panic!("it stayed") };
        assert_eq!(running.await, "done");
        assert!(overrun.take() && !overrun.take());
    }

    #[tokio::test]
    async fn short_calls_and_long_waits_stay() {
        let overrun = Overrun::default();
        let watched = overrun.clone();
        let running: Running<()> = Box::pin(async move {
            for _ in 0..20 {
                watched.watch(tokio::time::sleep(SHARE * 2)).await;
                watched.watch(work(SHARE / 20)).await;
            }
        });
        assert!(matches!(Among::new(running, overrun.clone()).await, Left::Through(())));
        assert!(!overrun.take());
    }
}
