//! The duties of an [`EventSource`] as checks that any implementation can be put through.

use std::time::Duration;

use tokio::time::timeout;

use super::{EventSource, Next, Page};
use crate::event::StateEvent;

/// A duty that an implementation did not keep.
#[derive(Debug, thiserror::Error)]
#[error("the contract of {subject} is broken: {duty}")]
pub struct ContractViolation {
    /// The trait.
    pub subject: &'static str,
    /// The duty, and what was seen instead.
    pub duty: String,
}

pub(crate) fn violation(subject: &'static str, duty: impl Into<String>) -> ContractViolation {
    ContractViolation { subject, duty: duty.into() }
}

fn broken(duty: impl Into<String>) -> ContractViolation {
    violation("EventSource", duty)
}

/// Opens a source and reads its history, which must consist of exactly the `expected` events.
///
/// # Errors
///
/// The first duty that was not kept.
pub async fn check(source: &mut dyn EventSource, expected: &[StateEvent]) -> Result<(), ContractViolation> {
    source.open().await.map_err(|error| broken(format!("open failed: {error}")))?;
    let mut read: Vec<StateEvent> = Vec::new();
    let mut drop_call = true;
    loop {
        if drop_call {
            // A call that is dropped before it is ready must not lose what it was about to give.
            let dropped = timeout(Duration::ZERO, source.get_events()).await;
            if let Ok(page) = dropped {
                let page = page.map_err(|error| broken(format!("get_events failed: {error}")))?;
                if take_page(page, &mut read)? {
                    break;
                }
            }
        }
        drop_call = !drop_call;
        let page = source.get_events().await.map_err(|error| broken(format!("get_events failed: {error}")))?;
        if take_page(page, &mut read)? {
            break;
        }
    }
    compare(&read, expected)
}

/// Checks a page and keeps its events; true once history has ended.
fn take_page(page: Page, read: &mut Vec<StateEvent>) -> Result<bool, ContractViolation> {
    if !page.history {
        return match page.events.first() {
            Some(event) => Err(broken(format!("event {} is not history though nothing was added", event.position()))),
            None if page.next == Next::More => Err(broken("a page without events must say how long to wait")),
            None => Ok(true),
        };
    }
    for event in page.events {
        if let Some(last) = read.last().filter(|last| last.position() >= event.position()) {
            return Err(broken(format!("positions must rise, but {} follows {}", event.position(), last.position())));
        }
        read.push(event);
    }
    Ok(page.next == Next::End)
}

fn compare(read: &[StateEvent], expected: &[StateEvent]) -> Result<(), ContractViolation> {
    if let Some((read, expected)) = read.iter().zip(expected).find(|(read, expected)| read != expected) {
        let (read, expected) = (read.position(), expected.position());
        return Err(broken(format!("the event at {read} is not, byte for byte, the one expected at {expected}")));
    }
    if read.len() != expected.len() {
        return Err(broken(format!("history has {} events, but {} were read", expected.len(), read.len())));
    }
    Ok(())
}
