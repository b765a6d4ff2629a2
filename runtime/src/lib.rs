//! Hydrant.
pub mod component;
pub mod config;
pub mod data_dir;
pub mod delivery;
pub mod event;
pub mod node;
pub mod sample;
pub mod sink;
pub mod source;
pub mod store;
pub mod stream;
