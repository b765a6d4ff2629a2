//! Reads a log through and says what is in it and whether it is whole.

use std::collections::BTreeMap;

use super::read::{ReadError, ReadLog, ReadPage};
use crate::event::{Kind, Position, StateEvent};

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Events and checkpoints by tag.
    pub tags: BTreeMap<String, u64>,
    /// Events, checkpoints left out.
    pub events: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// The first position.
    pub first: Option<Position>,
    /// The last position.
    pub last: Option<Position>,
    /// How often an id is not the one before plus one.
    pub gaps: u64,
    /// Lines that repeat an event just read.
    pub duplicates: u64,
    /// Lines without an id of their own.
    pub legacy: u64,
    /// Bad lines, glued lines, and faults of the tail.
    pub findings: u64,
    /// Bytes of json.
    pub bytes: u64,
}

impl Survey {
    /// Whether every line is an event and the log ends where its last line ends.
    pub fn is_whole(&self) -> bool {
        self.findings == 0
    }

    fn count(&mut self, event: &StateEvent) {
        match self.tags.get_mut(event.tag()) {
            Some(count) => *count += 1,
            None => drop(self.tags.insert(event.tag().to_owned(), 1)),
        }
        let position = event.position();
        match position.kind {
            Kind::Event => self.events += 1,
            Kind::Checkpoint => self.checkpoints += 1,
        }
        let follows =
            self.last.is_none_or(|last| position.id == last.id || Some(position.id) == last.id.checked_add(1));
        self.gaps += u64::from(!follows);
        self.first = self.first.or(Some(position));
        self.last = Some(position);
        self.bytes += event.bytes() as u64;
    }
}

/// Reads what a log holds at this moment; gives `observe` the reader and each page.
///
/// # Errors
///
/// As [`ReadLog::read_history`].
pub fn survey(reader: &mut dyn ReadLog, mut observe: impl FnMut(&dyn ReadLog, ReadPage)) -> Result<Survey, ReadError> {
    let mut survey = Survey::default();
    while let Some(page) = reader.read_history()? {
        page.events.iter().for_each(|event| survey.count(event));
        survey.findings += page.findings.iter().filter(|finding| finding.is_fault()).count() as u64;
        observe(reader, page);
    }
    (survey.duplicates, survey.legacy) = (reader.duplicates(), reader.legacy());
    Ok(survey)
}
