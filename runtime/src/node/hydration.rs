//! What the node knows of its head: events are folded while they are delivered.

use tokio::sync::watch;

use super::{Node, NodeError};
use crate::event::StateEvent;
use crate::head::{ExpectedHead, HeadFollower, HeadReport};
use crate::sink_store::Change;
use crate::source::Page;
use crate::store::Finding;

/// The fold beside the delivery, and what it is compared with.
#[derive(Debug)]
pub(super) struct Hydration {
    follower: HeadFollower,
    expected: ExpectedHead,
    /// As configured, else as last known.
    head_id: Option<String>,
}

impl Hydration {
    pub(super) fn head_id(&self) -> Option<&str> {
        self.head_id.as_deref()
    }

    pub(super) fn report(&self) -> watch::Receiver<HeadReport> {
        self.follower.report()
    }
}

impl Node {
    /// Folds the events into the state of the head and compares it with what is expected. `head_id` is what sinks are told when they are
    /// opened: the id configured, else the one last known.
    /// Only for a stream of state events; detached sinks learn the id from their window.
    #[must_use]
    pub fn with_head(self, follower: HeadFollower, expected: ExpectedHead, head_id: Option<String>) -> Self {
        Self { head: Some(Hydration { follower, expected, head_id }), ..self }
    }

    /// Folds a page. It is done before sinks see it: what a sink tells others can be asked about at once.
    pub(super) async fn fold(&mut self, page: &Page) {
        if let Some(head) = &self.head {
            head.follower.fold(&page.events, lost(page)).await;
        }
    }

    /// After a page that may have brought another head, that is looked into.
    pub(super) async fn note_head(&mut self, page: &Page) -> Result<(), NodeError> {
        let Some(head) = &self.head else { return Ok(()) };
        if page.history || !page.events.iter().any(brings_a_head) {
            return Ok(());
        }
        let Some(state) = head.follower.state().await else { return Ok(()) };
        // hydra-node makes the comparison when it starts; a head that opens later is the node's own choice.
        if let Err(mismatch) = head.expected.check(&state) {
            tracing::warn!("{mismatch}");
        }
        self.know_head(state.head_id().map(str::to_owned)).await
    }

    /// Compares the head that history leads to with the one configured.
    pub(super) async fn check_head(&mut self) -> Result<(), NodeError> {
        let Some(head) = &self.head else { return Ok(()) };
        head.follower.end_history();
        let Some(state) = head.follower.state().await else {
            if !head.expected.is_empty() {
                tracing::warn!("the head could not be compared with the one configured: its state is not known");
            }
            return Ok(());
        };
        head.expected.check(&state)?;
        self.know_head(state.head_id().map(str::to_owned)).await
    }

    /// Tells the sinks if the head is another than the one they were opened with. Without a head they keep the last one.
    ///
    /// An inline sink is not opened again for the first head of all: it would lose what it keeps in memory of the events before.
    async fn know_head(&mut self, head_id: Option<String>) -> Result<(), NodeError> {
        let (Some(head), Some(head_id)) = (&mut self.head, head_id) else { return Ok(()) };
        if head.head_id.as_ref() == Some(&head_id) {
            return Ok(());
        }
        let is_first = head.head_id.replace(head_id.clone()).is_none();
        if let Some((detached, _)) = &self.detached {
            detached.window().set_head_id(head_id.clone());
        }
        let info = self.open_info();
        for sink in self.sinks.iter_mut().filter(|sink| !is_first && sink.reads_head_id()) {
            sink.reopen(&info).await?;
        }
        if let Some(store) = &self.store {
            let change = Change::Head { stream: self.stream.name.clone(), head_id };
            if let Err(error) = store.commit(vec![change]).await {
                tracing::warn!(
                    "the head's id could not be kept; sinks will be opened once more at the next start: {error}"
                );
            }
        }
        Ok(())
    }
}

/// Why events of this page are missing.
fn lost(page: &Page) -> Option<String> {
    let is_lost = |finding: &&Finding| matches!(finding, Finding::Skipped(_) | Finding::Glued { .. });
    page.findings.iter().find(is_lost).map(ToString::to_string)
}

/// Whether the head may be another after this event.
fn brings_a_head(event: &StateEvent) -> bool {
    matches!(event.tag(), "HeadInitialized" | "HeadOpened" | "Checkpoint")
}
