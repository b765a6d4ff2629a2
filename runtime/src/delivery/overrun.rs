//! A call that takes long on a processor goes on among the sinks of poor standing: it is not cut off, and no good neighbour waits for it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How long one call may be on a processor among the sinks in good standing: some thousand times what a small put takes, and no longer than
/// others can wait. The limits of a sink are far above that, so that rare work may be done.
const SHARE: Duration = Duration::from_millis(5);

/// What a lane's calls tell whoever drives the lane. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrun(Arc<AtomicBool>);

impl Overrun {
    /// Makes a call and adds up its time on a processor.
    ///
    /// The time on the clock is looked at first, which costs next to nothing and is never less. Once that is over the share, which on a busy
    /// machine it may be without any doing of the guest's, the thread's own time counts from there on.
    pub(super) async fn watch<T>(&self, call: impl Future<Output = T>) -> T {
        let (mut call, mut on_clock, mut on_processor) = (pin!(call), Duration::ZERO, Duration::ZERO);
        let watched = poll_fn(|context| {
            if on_clock <= SHARE {
                let start = Instant::now();
                let polled = call.as_mut().poll(context);
                on_clock += start.elapsed();
                return polled;
            }
            let start = thread_time();
            let polled = call.as_mut().poll(context);
            on_processor += thread_time().saturating_sub(start);
            if on_processor > SHARE {
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

/// How long this thread has been on a processor.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
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
    async fn a_call_that_was_kept_from_its_processor_stays() {
        let overrun = Overrun::default();
        let watched = overrun.clone();
        let running: Running<()> = Box::pin(async move {
            let call = async {
                for _ in 0..5 {
                    // As if others had the processor in the middle of it.
                    std::thread::sleep(SHARE * 2);
                    yield_now().await;
                }
                work(SHARE / 5).await;
            };
            watched.watch(call).await;
        });
        assert!(matches!(Among::new(running, overrun.clone()).await, Left::Through(())));
        assert!(!overrun.take());
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
