//! All integration tests, in one binary so that the runtime is linked once.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may stop at the first thing that is not as it should be, and says what it ran"
)]

mod api_source;
mod compile;
mod components;
mod contract;
mod conway_tx;
mod crash;
mod database;
mod delivery;
mod detached;
mod event_store;
mod events;
mod follow;
mod fuzz;
mod grants;
mod harness;
mod head;
mod head_cardano;
mod head_client;
mod head_logic;
mod head_node;
mod head_source;
mod head_stories;
mod hostile;
mod http;
mod hydrate;
mod languages;
mod limits;
mod log_tools;
mod operate;
mod provenance;
mod repository;
mod run;
mod sample;
mod sink_store;
mod source_component;
mod store_properties;
mod torture;
mod wat_sinks;
