//! All integration tests, in one binary so that the runtime is linked once.

mod components;
mod contract;
mod crash;
mod delivery;
mod events;
mod follow;
mod fuzz;
mod harness;
mod limits;
mod log_tools;
mod repository;
mod run;
mod sample;
mod store_properties;
