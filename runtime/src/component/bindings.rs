//! Generated from `wit/`. Only the per-interface types are used; which interfaces a component exports is found out at load.

#[allow(
    clippy::all,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "generated code; the WIT files carry the documentation"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        // A world of the host's own that exports every interface and imports what the host provides.
        inline: "
            package hydrant:host@0.1.0;
            world every-interface {
                import hydrant:events/log@0.1.0;
                import hydrant:events/key-value@0.1.0;
                import hydrant:events/secrets@0.1.0;
                export hydrant:events/event-sink@0.1.0;
                export hydrant:events/lifecycle@0.1.0;
                export hydrant:events/flush@0.1.0;
                export hydrant:events/batch@0.1.0;
                export hydrant:events/handover@0.1.0;
                export hydrant:events/event-source@0.1.0;
            }
        ",
        world: "hydrant:host/every-interface",
        imports: { "hydrant:events/key-value": trappable },
        exports: { default: async },
        // Strings are lowered from borrowed text: an event is copied once, into the guest.
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

pub(super) use generated::exports::hydrant::events::{batch, event_sink, event_source, flush, handover, lifecycle};
pub(super) use generated::hydrant::events::{key_value, log, secrets, types};
