//! Every limit a component runs under: its name, default, bounds and reason, in one table.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;

/// In which unit a limit is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    Count,
    /// Bytes, such as `64KiB`; a plain number is bytes.
    Bytes,
    /// A time, such as `500ms`.
    Time,
}

/// One limit. Its name is a parameter of a sink's URI and a key of its table in the configuration file.
#[derive(Debug)]
pub struct Limit {
    /// The parameter's name.
    pub name: &'static str,
    /// The unit of all its values; a time counts in milliseconds.
    pub unit: Unit,
    /// What holds if nothing is configured.
    pub default: u64,
    /// The least that is taken.
    pub min: u64,
    /// The most that is taken.
    pub max: u64,
    /// Why there is a limit, and why this default.
    pub reason: &'static str,
    field: fn(&mut Limits) -> &mut u64,
}

/// The limits of one component. Times are in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fuel for one event, on top of `fuel_per_byte`.
    pub fuel: u64,
    /// Fuel for each byte of an event's json.
    pub fuel_per_byte: u64,
    /// Fuel for instantiation, `describe` and `open`, each.
    pub open_fuel: u64,
    /// Fuel for a `flush` or `close`.
    pub flush_fuel: u64,
    /// Wall-clock time for one event.
    pub timeout: u64,
    /// Wall-clock time for instantiation, `describe` and `open`, each.
    pub open_timeout: u64,
    /// Wall-clock time for a `flush` or `close`.
    pub flush_timeout: u64,
    /// Linear memory, all memories together.
    pub memory: u64,
    /// Table elements, all tables together.
    pub table_elements: u64,
    /// Core instances, and as many tables and memories.
    pub instances: u64,
    /// Host resources held at once.
    pub handles: u64,
    /// Bytes copied out of the guest in one call, either way.
    pub hostcall_bytes: u64,
    /// Bytes of state that a sink hands over at a swap.
    pub handover_bytes: u64,
    /// Bytes of one page of a source.
    pub page_bytes: u64,
    /// Keys that a sink keeps with the host.
    pub key_value_keys: u64,
    /// Bytes of the keys and values that a sink keeps with the host.
    pub key_value_bytes: u64,
    /// WebAssembly call stack.
    pub stack: u64,
}

const MILLION: u64 = 1_000_000;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// All limits. The defaults rest on measurements of guests in seven languages.
pub static LIMITS: [Limit; 17] = [
    Limit {
        name: "fuel",
        unit: Unit::Count,
        default: 10 * MILLION,
        min: 100_000,
        max: MILLION * MILLION,
        reason: "bounds the instructions of one put; a sink that parses a 1 KB event needs 30 to 390 thousand",
        field: |limits| &mut limits.fuel,
    },
    Limit {
        name: "fuel-per-byte",
        unit: Unit::Count,
        default: 1_000,
        min: 0,
        max: MILLION,
        reason: "added for each byte of the event, because real events reach megabytes; parsing costs 26 (Rust) to 400 (Go)",
        field: |limits| &mut limits.fuel_per_byte,
    },
    Limit {
        name: "open-fuel",
        unit: Unit::Count,
        default: 1_000 * MILLION,
        min: MILLION,
        max: 10_000 * 1_000 * MILLION,
        reason: "bounds instantiation, describe and open; language runtimes start with up to 2 million, the rest is room for work",
        field: |limits| &mut limits.open_fuel,
    },
    Limit {
        name: "flush-fuel",
        unit: Unit::Count,
        default: 1_000 * MILLION,
        min: MILLION,
        max: 10_000 * 1_000 * MILLION,
        reason: "bounds flush and close, which may encode everything gathered since the last one",
        field: |limits| &mut limits.flush_fuel,
    },
    Limit {
        name: "timeout",
        unit: Unit::Time,
        default: 5 * SECOND,
        min: 1,
        max: 10 * MINUTE,
        reason: "bounds the wall-clock time of one put, which holds up the step loop on the inline lane",
        field: |limits| &mut limits.timeout,
    },
    Limit {
        name: "open-timeout",
        unit: Unit::Time,
        default: 30 * SECOND,
        min: 10,
        max: 60 * MINUTE,
        reason: "bounds a start that never ends",
        field: |limits| &mut limits.open_timeout,
    },
    Limit {
        name: "flush-timeout",
        unit: Unit::Time,
        default: 30 * SECOND,
        min: 1,
        max: 60 * MINUTE,
        reason: "bounds flush and close, and with them how long a stop takes",
        field: |limits| &mut limits.flush_timeout,
    },
    Limit {
        name: "memory",
        unit: Unit::Bytes,
        default: 128 * MIB,
        min: 64 * KIB,
        max: 4_096 * MIB,
        reason: "bounds linear memory; compiled languages need 1 to 6 MiB, Python 14, one JavaScript engine over 100",
        field: |limits| &mut limits.memory,
    },
    Limit {
        name: "table-elements",
        unit: Unit::Count,
        default: 100_000,
        min: 1,
        max: 10 * MILLION,
        reason: "bounds tables, which cost the host 8 to 16 bytes an element; Python needs about 20,000",
        field: |limits| &mut limits.table_elements,
    },
    Limit {
        name: "instances",
        unit: Unit::Count,
        default: 100,
        min: 1,
        max: 10_000,
        reason: "bounds core instances, and likewise memories and tables, that one component is made of; Python has about 30",
        field: |limits| &mut limits.instances,
    },
    Limit {
        name: "handles",
        unit: Unit::Count,
        default: 1_000,
        min: 4,
        max: 100_000,
        reason: "bounds the streams, pollables and other resources that the host holds for a guest",
        field: |limits| &mut limits.handles,
    },
    Limit {
        name: "hostcall-bytes",
        unit: Unit::Bytes,
        default: 64 * KIB,
        min: KIB,
        max: 16 * MIB,
        reason: "bounds what a guest makes the host copy in one call, results and error texts included; nothing else interrupts that work",
        field: |limits| &mut limits.hostcall_bytes,
    },
    Limit {
        name: "handover-bytes",
        unit: Unit::Bytes,
        default: 16 * MIB,
        min: KIB,
        max: 256 * MIB,
        reason: "bounds the state that a sink saves at a swap; the host holds it while the swap is watched",
        field: |limits| &mut limits.handover_bytes,
    },
    Limit {
        name: "page-bytes",
        unit: Unit::Bytes,
        default: 16 * MIB,
        min: 64 * KIB,
        max: 256 * MIB,
        reason: "bounds the lines that a source gives in one page; the host holds them until every sink has them",
        field: |limits| &mut limits.page_bytes,
    },
    Limit {
        name: "key-value-keys",
        unit: Unit::Count,
        default: 10_000,
        min: 0,
        max: 10 * MILLION,
        reason: "bounds the keys that a sink keeps with the host, on the disk that also holds every cursor",
        field: |limits| &mut limits.key_value_keys,
    },
    Limit {
        name: "key-value-bytes",
        unit: Unit::Bytes,
        default: 16 * MIB,
        min: 0,
        max: 4_096 * MIB,
        reason: "bounds the bytes of those keys and their values",
        field: |limits| &mut limits.key_value_bytes,
    },
    Limit {
        name: "stack",
        unit: Unit::Bytes,
        default: 512 * KIB,
        min: 64 * KIB,
        max: 16 * MIB,
        reason: "bounds recursion",
        field: |limits| &mut limits.stack,
    },
];

impl Default for Limits {
    /// The defaults of [`LIMITS`].
    fn default() -> Self {
        let mut limits = Self {
            fuel: 0,
            fuel_per_byte: 0,
            open_fuel: 0,
            flush_fuel: 0,
            timeout: 0,
            open_timeout: 0,
            flush_timeout: 0,
            memory: 0,
            table_elements: 0,
            instances: 0,
            handles: 0,
            hostcall_bytes: 0,
            handover_bytes: 0,
            page_bytes: 0,
            key_value_keys: 0,
            key_value_bytes: 0,
            stack: 0,
        };
        for limit in &LIMITS {
            *(limit.field)(&mut limits) = limit.default;
        }
        limits
    }
}

/// A value that a limit does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} takes {range}, not {value:?}")]
pub struct LimitError {
    /// The limit's name.
    pub name: &'static str,
    /// What it takes, in words.
    pub range: String,
    /// What was given.
    pub value: String,
}

impl Limits {
    /// Sets one limit from its configured text; false if there is none of that name.
    ///
    /// # Errors
    ///
    /// If the text is no value of its unit, or lies outside its bounds.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, LimitError> {
        let Some(limit) = LIMITS.iter().find(|limit| limit.name == name) else { return Ok(false) };
        *(limit.field)(self) = limit.parse(value)?;
        Ok(true)
    }

    /// Fuel for an event whose json has this many bytes.
    pub fn fuel_for(&self, bytes: usize) -> u64 {
        self.fuel.saturating_add(self.fuel_per_byte.saturating_mul(bytes as u64))
    }
}

impl Limit {
    fn parse(&self, value: &str) -> Result<u64, LimitError> {
        let number = match self.unit {
            Unit::Count => value.parse().ok(),
            Unit::Bytes => value.parse::<ByteSize>().ok().map(|size| size.as_u64()),
            Unit::Time => humantime::parse_duration(value).ok().and_then(|time| u64::try_from(time.as_millis()).ok()),
        };
        number.filter(|number| (self.min..=self.max).contains(number)).ok_or_else(|| LimitError {
            name: self.name,
            range: format!("{} to {}", self.unit.show(self.min), self.unit.show(self.max)),
            value: value.to_owned(),
        })
    }
}

impl Unit {
    /// A value in words.
    pub fn show(self, value: u64) -> String {
        match self {
            Self::Count => value.to_string(),
            Self::Bytes => ByteSize::b(value).display().iec().to_string(),
            Self::Time => humantime::format_duration(Duration::from_millis(value)).to_string(),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value| self.unit.show(value);
        write!(f, "{}={} ({} to {})", self.name, show(self.default), show(self.min), show(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_lies_within_its_bounds() {
        for limit in &LIMITS {
            assert!((limit.min..=limit.max).contains(&limit.default), "{limit}");
        }
    }

    #[test]
    fn every_limit_takes_its_bounds_and_refuses_what_lies_outside() {
        for limit in &LIMITS {
            let text = |value: u64| match limit.unit {
                Unit::Count => value.to_string(),
                Unit::Bytes => format!("{value}B"),
                Unit::Time => format!("{value}ms"),
            };
            let mut limits = Limits::default();
            for value in [limit.min, limit.max] {
                assert_eq!(limits.set(limit.name, &text(value)), Ok(true));
                assert_eq!(*(limit.field)(&mut limits), value);
            }
            assert!(limits.set(limit.name, &text(limit.max + 1)).is_err(), "{limit}");
            if limit.min > 0 {
                assert!(limits.set(limit.name, &text(limit.min - 1)).is_err(), "{limit}");
            }
            for nonsense in ["", "-1", "many", "1e3"] {
                assert!(limits.set(limit.name, nonsense).is_err(), "{limit} took {nonsense}");
            }
        }
    }

    #[test]
    fn an_unknown_name_is_told_apart_from_a_wrong_value() {
        assert_eq!(Limits::default().set("feul", "1"), Ok(false));
    }

    #[test]
    fn fuel_grows_with_the_event() {
        let limits = Limits { fuel: 5, fuel_per_byte: 3, ..Limits::default() };
        assert_eq!(limits.fuel_for(10), 35);
        assert_eq!(Limits { fuel_per_byte: u64::MAX, ..limits }.fuel_for(10), u64::MAX);
    }
}
