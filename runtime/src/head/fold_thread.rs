//! Folds a log while it is read: reading and folding cost about as much as each other, and neither has to wait for the other.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::fold::{FoldError, HeadFold};
use crate::event::StateEvent;

/// Pages that may wait to be folded.
const PAGES: usize = 4;

/// A fold on a thread of its own, for who reads a log without a tokio runtime.
#[derive(Debug)]
pub struct FoldThread {
    pages: SyncSender<Vec<StateEvent>>,
    thread: JoinHandle<Result<HeadFold, Box<FoldError>>>,
}

impl FoldThread {
    /// Starts folding from no head.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub fn start() -> io::Result<Self> {
        let (pages, inbox) = sync_channel::<Vec<StateEvent>>(PAGES);
        let thread = Builder::new().name("fold".to_owned()).spawn(move || {
            let mut fold = HeadFold::new();
            for page in inbox {
                page.iter().try_for_each(|event| fold.apply(event))?;
            }
            Ok(fold)
        })?;
        Ok(Self { pages, thread })
    }

    /// Takes events that follow those before. Waits while some pages are waiting.
    pub fn push(&self, events: Vec<StateEvent>) {
        // After an event that cannot be folded nothing is taken any more; `finish` says so.
        let _ = self.pages.send(events);
    }

    /// The fold after all events given.
    ///
    /// # Errors
    ///
    /// The first event that could not be folded.
    pub fn finish(self) -> Result<HeadFold, Box<FoldError>> {
        drop(self.pages);
        match self.thread.join() {
            Ok(folded) => folded,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u64, change: &str) -> StateEvent {
        StateEvent::parse(format!(r#"{{"eventId":{id},"stateChanged":{change}}}"#)).unwrap()
    }

    #[test]
    fn it_folds_what_a_fold_does_and_fails_where_that_fails() {
        let opened =
            r#"{"tag":"HeadOpened","chainState":{},"headId":"ab","headSeed":"00","parameters":{},"parties":[]}"#;
        let good = FoldThread::start().unwrap();
        (0..20).for_each(|id| good.push(vec![event(id, opened)]));
        assert_eq!(good.finish().unwrap().head().head_id(), Some("ab"));

        let bad = FoldThread::start().unwrap();
        bad.push(vec![event(0, opened), event(1, r#"{"tag":"HeadClosed","chainState":7,"contestationDeadline":[]}"#)]);
        (2..20).for_each(|id| bad.push(vec![event(id, opened)]));
        assert_eq!(bad.finish().unwrap_err().position.id, 1);
    }
}
