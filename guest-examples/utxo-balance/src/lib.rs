//! Balances by address, from the snapshots that all parties have signed.
//!
//! Only confirmed snapshots are final on layer 2: a transaction that was applied locally may still be dropped.

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package example:utxo-balance;
        world utxo-balance {
            include hydrant:events/sink@0.1.0;
            include hydrant:events/with-lifecycle@0.1.0;
        }
    ",
    world: "example:utxo-balance/utxo-balance",
    generate_all,
});

use std::cell::RefCell;
use std::collections::BTreeMap;

use exports::hydrant::events::{event_sink, lifecycle};
use hydrant::events::types::{Format, Hints, Manifest};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    state_changed: SnapshotConfirmed,
}

#[derive(Deserialize)]
struct SnapshotConfirmed {
    /// From hydra-node 2.1 on null, unless the snapshot was side-loaded.
    snapshot: Option<Snapshot>,
}

#[derive(Deserialize)]
struct Snapshot {
    utxo: BTreeMap<String, Output>,
}

#[derive(Deserialize)]
struct Output {
    address: String,
    value: Value,
}

#[derive(Deserialize)]
struct Value {
    #[serde(default)]
    lovelace: u64,
}

thread_local! {
    static BALANCES: RefCell<BTreeMap<String, u128>> = const { RefCell::new(BTreeMap::new()) };
}

struct UtxoBalance;

impl event_sink::Guest for UtxoBalance {
    fn put_event(event: event_sink::StateEvent) -> Result<event_sink::Ack, event_sink::SinkError> {
        // The host leaves other tags out, as the manifest asks; a sink is easier to reuse if it does not rely on that.
        if event.tag != "SnapshotConfirmed" {
            return Ok(event_sink::Ack::Durable);
        }
        let parsed: Event = serde_json::from_str(&event.json)
            .map_err(|error| event_sink::SinkError::Rejected(format!("not a SnapshotConfirmed: {error}")))?;
        let Some(snapshot) = parsed.state_changed.snapshot else {
            return Err(event_sink::SinkError::Rejected(
                "the snapshot is left out, as hydra-node 2.1 does; this example reads older logs".to_owned(),
            ));
        };
        let mut balances = BTreeMap::new();
        for output in snapshot.utxo.into_values() {
            *balances.entry(output.address).or_default() += u128::from(output.value.lovelace);
        }
        BALANCES.set(balances);
        Ok(event_sink::Ack::Durable)
    }
}

impl lifecycle::Guest for UtxoBalance {
    fn describe() -> Manifest {
        Manifest {
            name: "utxo-balance".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            accepts: vec![Format { name: "hydra.state-event".to_owned(), version: 1 }],
            writes: None,
            config_schema: None,
            tags: vec!["SnapshotConfirmed".to_owned()],
            needs: vec![],
            hints: Hints { batch_events: None, batch_bytes: None, flush_ms: None },
            irreversible: false,
        }
    }

    fn open(_info: lifecycle::OpenInfo) -> Result<lifecycle::Opened, lifecycle::SinkError> {
        Ok(lifecycle::Opened::Beginning)
    }

    fn close(_reason: lifecycle::CloseReason) {
        BALANCES.with_borrow(|balances| {
            for (address, lovelace) in balances {
                println!("{address} {lovelace}");
            }
        });
    }
}

export!(UtxoBalance);
