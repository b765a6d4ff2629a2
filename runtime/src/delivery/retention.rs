//! Keeps our own event store within its bound.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use tokio::time::sleep;

use super::board::Board;
use super::detached::Order;
use super::status::SinkStatus;
use crate::event::Position;
use crate::store::Retention;

/// How often the store is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Percent of the bound above which it is said that the store fills up.
const WARN_AT: u64 = 80;

/// Deletes segments that every detached sink has passed; and when the store is too large, the oldest ones, having stopped the sinks that still
/// need them. With inline sinks nothing counts as passed: they are put everything at every start. Runs until it is dropped.
pub async fn keep_within_bound(board: Board, retention: Retention) {
    let mut keeper = Keeper { board, retention, halted: BTreeSet::new(), warned: false };
    loop {
        sleep(LOOK_EVERY).await;
        if let Err(error) = keeper.look().await {
            tracing::warn!("the event store cannot be looked through: {error}");
        }
    }
}

struct Keeper {
    board: Board,
    retention: Retention,
    halted: BTreeSet<String>,
    warned: bool,
}

impl Keeper {
    async fn look(&mut self) -> io::Result<()> {
        let statuses = self.board.statuses();
        let held = self.retention.held()?;
        if let Some(lowest) = lowest(&statuses, &self.halted) {
            delete(self.retention.passed(&held, lowest))?;
        }
        let held = self.retention.held()?;
        self.warn(held.bytes);
        let too_many = self.retention.too_many(&held);
        if let Some((last, ..)) = too_many.last() {
            self.halt_laggards(&statuses, *last).await;
            delete(too_many)?;
        }
        Ok(())
    }

    /// Stops the sinks that need what is about to be deleted.
    async fn halt_laggards(&mut self, statuses: &[SinkStatus], last: u64) {
        let max = ByteSize::b(self.retention.max()).display().iec();
        for status in statuses {
            // An inline sink needs everything, however far it is now.
            let is_inline = status.lane == "inline";
            let has_passed = !is_inline && status.position.is_some_and(|position| position.id > last);
            if has_passed || self.halted.contains(&status.sink) {
                continue;
            }
            if is_inline {
                tracing::warn!(
                    sink = &*status.sink,
                    "the event store is full ({max}): events up to {last} are deleted, and will not be put to it at the next start"
                );
            } else {
                let reason = format!(
                    "the event store is full ({max}) and everything up to event {last} is deleted, which it did not have: a gap; a larger \
                     --event-store-max keeps more"
                );
                // One that has ended needs nothing any more.
                let _ = self.board.order(&status.sink, Order::Halt(reason)).await;
            }
            self.halted.insert(status.sink.clone());
        }
    }

    fn warn(&mut self, bytes: u64) {
        let is_filling = bytes / 100 >= self.retention.max() / 100 * WARN_AT / 100;
        if is_filling && !self.warned {
            let (bytes, max) = (ByteSize::b(bytes).display().iec(), ByteSize::b(self.retention.max()).display().iec());
            tracing::warn!(
                "the event store has {bytes} of {max}: when it is full, the sinks that are furthest behind are stopped; `hydrant status` \
                 shows how far each is"
            );
        }
        self.warned = is_filling;
    }
}

/// What every sink has; none if one may need everything.
fn lowest(statuses: &[SinkStatus], halted: &BTreeSet<String>) -> Option<Position> {
    let waiting = statuses.iter().filter(|status| !halted.contains(&status.sink));
    let positions = waiting.map(|status| status.position.filter(|_| status.lane != "inline"));
    positions.collect::<Option<Vec<_>>>()?.into_iter().min()
}

fn delete(segments: &[(u64, PathBuf, u64)]) -> io::Result<()> {
    segments.iter().try_for_each(|(_, path, _)| fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(lane: &str, position: Option<u64>) -> SinkStatus {
        let (sink, lane) = (format!("{lane}-{position:?}"), lane.to_owned());
        SinkStatus { sink, lane, position: position.map(Position::event), ..SinkStatus::default() }
    }

    #[test]
    fn nothing_is_passed_while_one_may_need_it() {
        let none = BTreeSet::new();
        let (far, near) = (status("detached", Some(9)), status("detached", Some(3)));
        assert_eq!(lowest(&[far.clone(), near.clone()], &none), Some(Position::event(3)));
        assert_eq!(lowest(&[far.clone(), status("detached", None)], &none), None);
        assert_eq!(lowest(&[far.clone(), status("inline", Some(9))], &none), None);
        assert_eq!(lowest(&[far, near.clone()], &[near.sink].into()), Some(Position::event(9)));
    }
}
