//! Metrics in Prometheus' form. Their names are stable.

use metrics::{Unit, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::delivery::{SinkState, SinkStatus};

/// Every metric: its name, whether it counts up, and what it says. All carry the label `sink`.
pub const METRICS: [(&str, bool, &str); 15] = [
    ("hydrant_events_delivered_total", true, "Events and checkpoints taken by a detached sink, repetitions included"),
    ("hydrant_rejected_total", true, "Events that the sink rejected"),
    ("hydrant_parked_total", true, "Events that were parked"),
    ("hydrant_retries_total", true, "Waits before another attempt"),
    ("hydrant_restarts_total", true, "New instances after a trap or a broken limit"),
    ("hydrant_swaps_total", true, "Versions that took charge by a swap"),
    ("hydrant_lag_events", false, "Events of the source that the sink has not taken yet"),
    ("hydrant_lag_seconds", false, "Seconds between the times of the newest event and of the last one taken"),
    ("hydrant_event_rate", false, "Events a second, over the last ten seconds or so"),
    ("hydrant_parked_events", false, "Events that are parked now"),
    ("hydrant_sink_state", false, "1 for the state that the sink is in; label `state`"),
    ("hydrant_event_fuel", false, "Fuel that the last event took"),
    ("hydrant_event_fuel_worst", false, "Fuel that the most expensive event took, in this instance"),
    ("hydrant_memory_bytes", false, "Linear memory of the instance"),
    ("hydrant_memory_bytes_worst", false, "The most linear memory, in this instance"),
];

/// Starts collecting. A second call in one process collects for itself alone.
pub fn start_metrics() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::debug!("metrics are collected already");
    }
    for (name, counts, text) in METRICS {
        match counts {
            true => describe_counter!(name, Unit::Count, text),
            false => describe_gauge!(name, text),
        }
    }
    handle
}

/// All states, for a gauge that is 1 for one of them.
const STATES: [SinkState; 7] = [
    SinkState::Starting,
    SinkState::CatchingUp,
    SinkState::Live,
    SinkState::Retrying,
    SinkState::Paused,
    SinkState::Swapping,
    SinkState::Stopped,
];

/// Sets what is looked at when asked for.
pub(super) fn observe(statuses: &[SinkStatus]) {
    for status in statuses {
        let set = |name: &'static str, value: f64| gauge!(name, "sink" => status.sink.clone()).set(value);
        if let Some(lag) = status.lag_events {
            set("hydrant_lag_events", lag as f64);
        }
        if let Some(lag) = status.lag_seconds {
            set("hydrant_lag_seconds", lag);
        }
        set("hydrant_event_rate", status.rate);
        set("hydrant_parked_events", status.parked as f64);
        set("hydrant_event_fuel", status.usage.fuel as f64);
        set("hydrant_event_fuel_worst", status.usage.fuel_worst as f64);
        set("hydrant_memory_bytes", status.usage.memory as f64);
        set("hydrant_memory_bytes_worst", status.usage.memory_worst as f64);
        for state in STATES {
            let is_in = f64::from(u8::from(status.state == state));
            gauge!("hydrant_sink_state", "sink" => status.sink.clone(), "state" => state.to_string()).set(is_in);
        }
    }
}
