//! What a component used for recorded events, and which limits would do.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::limits::{LIMITS, Limits};
use crate::event::StateEvent;
use crate::sink::Usage;

/// Tags that are told apart: hydra-node has some fifty. Events of further tags count as `(others)`.
const MAX_TAGS: usize = 200;

/// Figures of a value that are kept.
const FIGURES: u8 = 3;

/// A limit is proposed so many times as high as what was used: the next log may have larger events.
const ROOM: u64 = 2;

/// Fuel and memory used by the puts of one component.
#[derive(Debug)]
pub struct Consumption {
    tags: BTreeMap<String, Histogram<u64>>,
    fuel_per_byte: u64,
    /// The most fuel, with room, beyond what events' bytes allow for.
    base: u64,
    memory: u64,
}

/// Fuel that events of a tag took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FuelOfTag {
    /// The tag.
    pub tag: String,
    /// Events.
    pub events: u64,
    /// So much was enough for half of them.
    pub p50: u64,
    /// So much was enough for 99 of 100.
    pub p99: u64,
    /// So much was enough for all.
    pub max: u64,
}

impl Consumption {
    /// Nothing yet, of a component under these limits.
    pub fn new(limits: &Limits) -> Self {
        Self { tags: BTreeMap::new(), fuel_per_byte: limits.fuel_per_byte, base: 0, memory: 0 }
    }

    /// Takes note of a put.
    pub fn note(&mut self, event: &StateEvent, usage: Usage) {
        let is_new = !self.tags.contains_key(event.tag());
        let tag = if is_new && self.tags.len() >= MAX_TAGS { "(others)" } else { event.tag() };
        if is_new && !self.tags.contains_key(tag) {
            // Fails only for more figures than five; grows with what is recorded.
            let Ok(fresh) = Histogram::new(FIGURES) else { return };
            self.tags.insert(tag.to_owned(), fresh);
        }
        if let Some(of_tag) = self.tags.get_mut(tag) {
            // Fails only where the histogram may not grow.
            let _ = of_tag.record(usage.fuel);
        }
        let allowed = self.fuel_per_byte.saturating_mul(event.bytes() as u64);
        self.base = self.base.max(usage.fuel.saturating_mul(ROOM).saturating_sub(allowed));
        self.memory = self.memory.max(usage.memory_worst);
    }

    /// Fuel by tag.
    pub fn fuel(&self) -> Vec<FuelOfTag> {
        let of_tag = |(tag, fuel): (&String, &Histogram<u64>)| FuelOfTag {
            tag: tag.clone(),
            events: fuel.len(),
            p50: fuel.value_at_quantile(0.5),
            p99: fuel.value_at_quantile(0.99),
            max: fuel.max(),
        };
        self.tags.iter().map(of_tag).collect()
    }

    /// The most linear memory, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Limits that leave as much room again, as parameters of a sink. The other limits depend on the machine, or on nothing that was measured.
    pub fn proposal(&self) -> Vec<(&'static str, String)> {
        let within = |name: &str, value: u64| {
            let limit = LIMITS.iter().find(|limit| limit.name == name);
            limit.map_or(value, |limit| value.clamp(limit.min, limit.max))
        };
        let memory = within("memory", self.memory.saturating_mul(ROOM)).div_ceil(MIB);
        vec![("fuel", within("fuel", rounded_up(self.base)).to_string()), ("memory", format!("{memory}MiB"))]
    }
}

const MIB: u64 = 1 << 20;

/// Up to two figures, as a person would write it.
fn rounded_up(value: u64) -> u64 {
    let unit = 10_u64.saturating_pow(value.max(1).ilog10().saturating_sub(1));
    value.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(tag: &str, bytes: usize) -> StateEvent {
        let json = format!(r#"{{"eventId":0,"stateChanged":{{"tag":"{tag}","of":""}}}}"#);
        let filler = "x".repeat(bytes.saturating_sub(json.len()));
        StateEvent::parse(json.replace("\"of\":\"", &format!("\"of\":\"{filler}"))).unwrap()
    }

    fn usage(fuel: u64, memory: u64) -> Usage {
        Usage { fuel, memory_worst: memory, ..Usage::default() }
    }

    #[test]
    fn fuel_is_told_by_tag_and_limits_leave_room() {
        let mut used = Consumption::new(&Limits { fuel_per_byte: 100, ..Limits::default() });
        (1..=100).for_each(|put| used.note(&event("A", 100), usage(put * 10_000, 3 << 20)));
        used.note(&event("B", 1000), usage(2_000_000, 5 << 20));
        let fuel = used.fuel();
        assert_eq!((&*fuel[0].tag, fuel[0].events, &*fuel[1].tag, fuel[1].events), ("A", 100, "B", 1));
        let near = |found: u64, exact: u64| found >= exact && found - exact <= exact / 500;
        assert!(near(fuel[0].p50, 500_000) && near(fuel[0].p99, 990_000) && near(fuel[0].max, 1_000_000), "{fuel:?}");
        // Twice 2,000,000 without what 1000 bytes allow for.
        assert_eq!(used.proposal(), [("fuel", "3900000".to_owned()), ("memory", "10MiB".to_owned())]);
    }

    #[test]
    fn what_is_proposed_is_a_limit_that_is_taken() {
        for (fuel, memory) in [(0, 0), (u64::MAX / 2, u64::MAX / 2)] {
            let mut used = Consumption::new(&Limits::default());
            used.note(&event("A", 100), usage(fuel, memory));
            let mut limits = Limits::default();
            for (name, value) in used.proposal() {
                assert_eq!(limits.set(name, &value), Ok(true), "{name}={value}");
            }
        }
    }

    #[test]
    fn so_many_tags_are_told_apart() {
        let mut used = Consumption::new(&Limits::default());
        (0..MAX_TAGS + 5).for_each(|tag| used.note(&event(&format!("T{tag}"), 100), usage(1, 1)));
        let fuel = used.fuel();
        assert_eq!(fuel.len(), MAX_TAGS + 1);
        assert_eq!(fuel.iter().find(|of_tag| of_tag.tag == "(others)").unwrap().events, 5);
    }
}
