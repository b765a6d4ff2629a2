//! The duties of an [`EventSink`] as checks that any implementation can be put through.

use super::{Ack, CloseReason, Delivery, EventSink, OpenInfo, SinkError};
use crate::event::StateEvent;
pub use crate::source::contract::ContractViolation;
use crate::source::contract::violation;

fn broken(duty: impl Into<String>) -> ContractViolation {
    violation("EventSink", duty)
}

fn ok<T>(doing: &str, result: Result<T, SinkError>) -> Result<T, ContractViolation> {
    result.map_err(|error| broken(format!("{doing} failed: {error}")))
}

/// Puts events to a fresh sink, twice over as two starts of the process would, and calls `target` for what the target holds after
/// each: it must be exactly the events, each once.
///
/// `make` makes a sink on the same target each time. A sink without a readable target may give back what it was put.
///
/// # Errors
///
/// The first duty that was not kept.
pub async fn check<S: EventSink>(
    mut make: impl FnMut() -> S,
    info: &OpenInfo,
    events: &[StateEvent],
    mut target: impl FnMut() -> Vec<StateEvent>,
) -> Result<(), ContractViolation> {
    for start in 1..=2 {
        let mut sink = make();
        ok("open", sink.open(info).await)?;
        ok("a flush with nothing to do", sink.flush().await)?;
        for event in events {
            let delivery = Delivery { catching_up: true, ..Delivery::default() };
            let ack = ok("a put", sink.put_event(event, delivery).await)?;
            if start == 2 && ack == Ack::Durable && !target().contains(event) {
                return Err(broken(format!("event {} is durable, but not at the target", event.position())));
            }
        }
        ok("flush", sink.flush().await)?;
        // What a flush covered must be there although `close` was never called.
        if target() != events {
            return Err(broken(format!("after start {start} the target does not hold each event once, in order")));
        }
        ok("close", sink.close(CloseReason::Stop).await)?;
    }
    Ok(())
}
