//! Hydrant.
pub mod component;
pub mod delivery;
pub mod event;
pub mod node;
pub mod sink;
pub mod source;
pub mod store;
pub mod stream;
