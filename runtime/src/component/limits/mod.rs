//! Every limit a component runs under: its name, default, bounds and reason, in one table.

mod table;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

pub use table::LIMITS;

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
    /// Random bytes given in one call.
    pub random_bytes: u64,
    /// HTTP requests open at once.
    pub http_requests: u64,
    /// Bytes of a request's body.
    pub http_request_bytes: u64,
    /// Bytes of an answer's body.
    pub http_response_bytes: u64,
    /// Wall-clock time of a request with its answer.
    pub http_timeout: u64,
    /// Keys that a sink keeps with the host.
    pub key_value_keys: u64,
    /// Bytes of the keys and values that a sink keeps with the host.
    pub key_value_bytes: u64,
    /// WebAssembly call stack.
    pub stack: u64,
    /// Address space of the process that compiles the component.
    pub compile_memory: u64,
    /// Processor time of the compilation.
    pub compile_cpu: u64,
    /// Wall-clock time of the compilation.
    pub compile_timeout: u64,
}

impl Default for Limits {
    /// The defaults of [`LIMITS`].
    fn default() -> Self {
        Self::preset(Preset::Default)
    }
}

/// All limits at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// A quarter of the defaults: enough for a small compiled sink, too little for an interpreter.
    Strict,
    /// The defaults.
    #[default]
    Default,
    /// Eight times the defaults.
    Generous,
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "strict" => Ok(Self::Strict),
            "default" => Ok(Self::Default),
            "generous" => Ok(Self::Generous),
            _ => Err("expected strict, default or generous".to_owned()),
        }
    }
}

impl Preset {
    fn of(self, limit: &Limit) -> u64 {
        let value = match self {
            Self::Strict => limit.default / 4,
            Self::Default => limit.default,
            Self::Generous => limit.default.saturating_mul(8),
        };
        value.clamp(limit.min, limit.max)
    }
}

impl Limits {
    /// The limits of a preset; each can be set on its own afterwards.
    pub fn preset(preset: Preset) -> Self {
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
            random_bytes: 0,
            http_requests: 0,
            http_request_bytes: 0,
            http_response_bytes: 0,
            http_timeout: 0,
            key_value_keys: 0,
            key_value_bytes: 0,
            stack: 0,
            compile_memory: 0,
            compile_cpu: 0,
            compile_timeout: 0,
        };
        for limit in &LIMITS {
            *(limit.field)(&mut limits) = preset.of(limit);
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
    fn a_preset_moves_every_limit_within_its_bounds() {
        let (strict, generous) = (Limits::preset(Preset::Strict), Limits::preset(Preset::Generous));
        assert_eq!((strict.fuel, strict.timeout, strict.memory), (2_500_000, 1_250, 32 << 20));
        assert_eq!((generous.fuel, generous.timeout, generous.memory), (80_000_000, 40_000, 1 << 30));
        assert_eq!((strict.fuel_per_byte, strict.compile_memory), (250, 512 << 20));
        assert_eq!(generous.stack, 4 << 20);
        assert_eq!("default".parse().map(Limits::preset), Ok(Limits::default()));
        assert!("lax".parse::<Preset>().is_err());
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
