//! What a number of steps came to: events that are made durable together, and the effects that wait for them.

use std::collections::VecDeque;

use super::input::{Effect, Origin};
use crate::event::StateEvent;
use crate::store::{GROUP_BYTES, GROUP_EVENTS};

/// An effect, and whose input it follows from.
pub(super) type Due = (Effect, Origin);

/// The events of some steps, and the effects of each step after the events that have to be put before.
#[derive(Debug, Default)]
pub(super) struct Group {
    events: Vec<StateEvent>,
    /// Each after so many of the events.
    effects: VecDeque<(usize, Due)>,
    /// Steps that changed something.
    steps: usize,
    bytes: usize,
    /// Events that were given to be put.
    given: usize,
}

impl Group {
    /// Adds what a step changed.
    pub(super) fn change(&mut self, events: Vec<StateEvent>) {
        self.steps += usize::from(!events.is_empty());
        self.bytes += events.iter().map(StateEvent::bytes).sum::<usize>();
        self.events.extend(events);
    }

    /// Adds what follows from the events so far.
    pub(super) fn then(&mut self, due: Due) {
        self.effects.push_back((self.events.len(), due));
    }

    /// Whether what comes next has to wait for another group.
    pub(super) fn is_full(&self) -> bool {
        self.steps >= GROUP_EVENTS || self.bytes >= GROUP_BYTES
    }

    pub(super) fn events(&self) -> &[StateEvent] {
        &self.events
    }

    /// Adds the effects of a group without events: they follow from all that happened before.
    pub(super) fn end_with(&mut self, group: Self) {
        group.effects.into_iter().for_each(|(_, due)| self.then(due));
    }

    /// Whether all events were given.
    pub(super) fn is_given(&self) -> bool {
        self.given == self.events.len()
    }

    /// The next events to be put: up to those from which an effect follows, so that it need not wait for events of other steps.
    pub(super) fn give(&mut self) -> Vec<StateEvent> {
        let next = self.effects.iter().map(|(after, _)| *after).find(|after| *after > self.given);
        let end = next.unwrap_or(self.events.len());
        let events = self.events.get(self.given..end).unwrap_or_default().to_vec();
        self.given = end;
        events
    }

    /// The effects that follow from what was given, which by now was put to the sinks.
    pub(super) fn due(&mut self) -> Vec<Due> {
        let count = self.effects.iter().take_while(|(after, _)| *after <= self.given).count();
        self.effects.drain(..count).map(|(_, due)| due).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offline::ChainTx;

    fn events(ids: std::ops::Range<u64>) -> Vec<StateEvent> {
        let event = |id| StateEvent::parse(format!(r#"{{"eventId":{id},"stateChanged":{{"tag":"A"}}}}"#)).unwrap();
        ids.map(event).collect()
    }

    fn due() -> Due {
        (Effect::Post(ChainTx::Close), Origin::default())
    }

    fn ids(events: &[StateEvent]) -> Vec<u64> {
        events.iter().map(|event| event.position().id).collect()
    }

    #[test]
    fn an_effect_is_due_after_the_events_before_it_and_ends_what_is_given() {
        let mut group = Group::default();
        group.then(due());
        group.change(events(0..2));
        group.then(due());
        group.then(due());
        group.change(events(2..5));
        let mut seen = Vec::new();
        while !group.is_given() {
            let waiting = group.due().len();
            seen.push((waiting, ids(&group.give())));
        }
        assert_eq!(seen, [(1, vec![0, 1]), (2, vec![2, 3, 4])]);
        assert!(group.due().is_empty() && group.give().is_empty());
    }

    #[test]
    fn effects_without_events_wait_for_all_that_came_before() {
        let (mut durable, mut empty) = (Group::default(), Group::default());
        durable.change(events(0..3));
        empty.then(due());
        durable.end_with(empty);
        assert!(durable.due().is_empty());
        assert_eq!(ids(&durable.give()), [0, 1, 2]);
        assert_eq!(durable.due().len(), 1);
    }

    #[test]
    fn a_group_has_its_fill_of_steps_or_of_bytes() {
        let mut group = Group::default();
        for id in 0..GROUP_EVENTS as u64 {
            assert!(!group.is_full());
            group.change(events(id..id + 1));
            // What changes nothing takes no room.
            group.change(Vec::new());
        }
        assert!(group.is_full());

        let mut group = Group::default();
        let long = "x".repeat(GROUP_BYTES);
        group.change(vec![StateEvent::parse(format!(r#"{{"eventId":0,"stateChanged":{{"tag":"{long}"}}}}"#)).unwrap()]);
        assert!(group.is_full());
    }
}
