//! The lane of a sink, and what can be set for it.

use std::time::Duration;

use bytesize::ByteSize;

use super::settings::Settings;
use super::{ConfigError, read};
use crate::delivery::{DetachedPolicy, FlushPolicy, TagFilter};

/// Parameters of sinks on the detached lane alone.
pub(super) const DETACHED: [&str; 10] = [
    "batch-bytes",
    "batch-events",
    "from",
    "on-divergence",
    "on-failure",
    "on-gap",
    "on-reject",
    "recycle-calls",
    "recycle-memory",
    "swap-watch",
];

/// How a sink is fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneConfig {
    /// On the step loop, as ADR 29 has it.
    Inline,
    /// In a task of its own.
    Detached(Box<DetachedPolicy>),
}

impl LaneConfig {
    /// Reads `lane=` and the parameters that belong to it.
    pub(super) fn take(
        settings: &mut Settings,
        default_is_detached: bool,
        flush: FlushPolicy,
        filter: &TagFilter,
    ) -> Result<Self, ConfigError> {
        let detached = settings.take_parsed("lane", |lane| match lane {
            "inline" => Ok(false),
            "detached" => Ok(true),
            other => Err(format!("expected inline or detached, not {other:?}")),
        })?;
        if !detached.unwrap_or(default_is_detached) {
            for key in DETACHED {
                settings.take_parsed::<()>(key, |_| Err("only sinks with lane=detached have it".to_owned()))?;
            }
            return Ok(Self::Inline);
        }
        let defaults = DetachedPolicy { flush, filter: filter.clone(), ..DetachedPolicy::default() };
        let policy = DetachedPolicy {
            batch_events: take_number(settings, "batch-events", 1, DetachedPolicy::MAX_BATCH_EVENTS)?
                .unwrap_or(defaults.batch_events),
            batch_bytes: take_bytes(settings, "batch-bytes", 1, DetachedPolicy::MAX_BATCH_BYTES)?
                .unwrap_or(defaults.batch_bytes),
            from: settings.take_parsed("from", read)?.unwrap_or_default(),
            on_reject: settings.take_parsed("on-reject", read)?.unwrap_or_default(),
            on_failure: settings.take_parsed("on-failure", read)?.unwrap_or_default(),
            on_divergence: settings.take_parsed("on-divergence", read)?.unwrap_or_default(),
            on_gap: settings.take_parsed("on-gap", read)?.unwrap_or_default(),
            recycle_calls: take_number(settings, "recycle-calls", 1, DetachedPolicy::MAX_RECYCLE_CALLS as usize)?
                .map_or(defaults.recycle_calls, |calls| calls as u64),
            recycle_memory: take_bytes(settings, "recycle-memory", 1 << 16, 4 << 30)?
                .map_or(defaults.recycle_memory, |bytes| bytes as u64),
            swap_watch: settings.take_parsed("swap-watch", swap_watch)?.unwrap_or(defaults.swap_watch),
            ..defaults
        };
        Ok(Self::Detached(Box::new(policy)))
    }
}

fn take_number(
    settings: &mut Settings,
    key: &'static str,
    min: usize,
    max: usize,
) -> Result<Option<usize>, ConfigError> {
    settings.take_parsed(key, |value| {
        let number = value.parse().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| format!("expected {min} to {max}, not {value:?}"))
    })
}

fn take_bytes(
    settings: &mut Settings,
    key: &'static str,
    min: usize,
    max: usize,
) -> Result<Option<usize>, ConfigError> {
    settings.take_parsed(key, |value| {
        let bytes = value.parse::<ByteSize>().ok().and_then(|size| usize::try_from(size.as_u64()).ok());
        let show = |bytes: usize| ByteSize::b(bytes as u64).display().iec().to_string();
        bytes
            .filter(|bytes| (min..=max).contains(bytes))
            .ok_or_else(|| format!("expected {} to {}, not {value:?}", show(min), show(max)))
    })
}

fn swap_watch(value: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(value).ok();
    time.filter(|time| *time <= DetachedPolicy::MAX_SWAP_WATCH)
        .ok_or_else(|| format!("expected 0s to 24h, not {value:?}"))
}

/// Most tags in a filter: a head has some thirty.
const MAX_TAGS: usize = 100;

/// Reads `tags=A,B` and `not-tags=C`.
pub(super) fn take_filter(settings: &mut Settings) -> Result<TagFilter, ConfigError> {
    let tags = |value: &str| {
        let tags: Vec<String> = value.split(',').map(|tag| tag.trim().to_owned()).collect();
        let good = tags.len() <= MAX_TAGS && !tags.iter().any(String::is_empty);
        good.then_some(tags)
            .ok_or_else(|| format!("expected 1 to {MAX_TAGS} tags with commas between them, not {value:?}"))
    };
    Ok(TagFilter {
        tags: settings.take_parsed("tags", tags)?.unwrap_or_default(),
        not_tags: settings.take_parsed("not-tags", tags)?.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use crate::config::SinkConfig;
    use crate::delivery::{OnReject, TagFilter};

    use super::*;

    fn policy(parameters: &str) -> Result<DetachedPolicy, String> {
        match SinkConfig::from_uri(&format!("wasm:a.wasm?{parameters}")).map_err(|error| error.to_string())?.lane {
            LaneConfig::Detached(policy) => Ok(*policy),
            LaneConfig::Inline => Err("inline".to_owned()),
        }
    }

    #[test]
    fn components_are_detached_and_native_sinks_inline_unless_told_otherwise() {
        let lane = |uri: &str| SinkConfig::from_uri(uri).unwrap().lane;
        assert!(matches!(lane("wasm:a.wasm"), LaneConfig::Detached(_)));
        assert_eq!(lane("wasm:a.wasm?lane=inline"), LaneConfig::Inline);
        assert_eq!(lane("stdout:"), LaneConfig::Inline);
        assert!(matches!(lane("file:out?lane=detached"), LaneConfig::Detached(_)));
    }

    #[test]
    fn parameters_are_read() {
        let policy = policy("on-reject=skip&batch-events=7&tags=A,B&not-tags=C&flush=3&swap-watch=0s").unwrap();
        assert_eq!((policy.on_reject, policy.batch_events, policy.flush.events), (OnReject::Skip, 7, 3));
        let filter = TagFilter { tags: vec!["A".to_owned(), "B".to_owned()], not_tags: vec!["C".to_owned()] };
        assert_eq!((policy.filter, policy.swap_watch), (filter, Duration::ZERO));
    }

    #[test]
    fn bounds_are_taken_and_what_lies_outside_is_refused() {
        for good in [
            "batch-events=1",
            "batch-events=65536",
            "batch-bytes=1B",
            "batch-bytes=64MiB",
            "recycle-calls=1",
            "recycle-memory=64KiB",
            "recycle-memory=4GiB",
            "swap-watch=24h",
            "from=7:checkpoint",
            "from=now",
        ] {
            assert!(policy(good).is_ok(), "{good}");
        }
        for bad in [
            "batch-events=0",
            "batch-events=65537",
            "batch-bytes=0",
            "batch-bytes=65MiB",
            "recycle-calls=0",
            "recycle-memory=1KiB",
            "recycle-memory=5GiB",
            "swap-watch=25h",
            "from=x",
            "on-reject=go",
            "on-gap=x",
            "on-failure=x",
            "on-divergence=x",
            "tags=",
            "not-tags=A,,B",
            "lane=fast",
        ] {
            let error = policy(bad).unwrap_err();
            assert!(error.contains(bad.split('=').next().unwrap()), "{error}");
        }
        let too_many = vec!["A"; MAX_TAGS + 1].join(",");
        assert!(policy(&format!("tags={too_many}")).is_err());
    }

    #[test]
    fn what_belongs_to_the_detached_lane_is_refused_on_the_other() {
        let error = policy("lane=inline&on-reject=skip").unwrap_err();
        assert!(error.contains("only sinks with lane=detached"), "{error}");
    }
}
