//! Hydrant taps a Cardano Hydra head and delivers every state change, in order and at least once, to any number of sinks.
//!
//! What ADR 29 of hydra-node calls an EventSource and an EventSink are the traits [`source::EventSource`] and [`sink::EventSink`];
//! [`node::Node`] puts every event of one source to many sinks. A sink is native code, or a WebAssembly component run under limits by
//! [`component::ComponentSink`]. Logs on files are read and written by [`store`].
//!
//! # A node with a component sink
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use hydrant::component::{CompileCache, Compiler, ComponentSink, Limits, SinkComponent, SinkEngine};
//! use hydrant::delivery::{FlushPolicy, InlineSink};
//! use hydrant::node::{Node, Silent};
//! use hydrant::sink::CloseReason;
//! use hydrant::source::LocalSource;
//! use hydrant::store::ReadOptions;
//! use hydrant::stream::{Stream, StreamFormat};
//! use tokio_util::sync::CancellationToken;
//!
//! // Compiled, linked and type-checked; no guest code has run yet.
//! let limits = Limits::default();
//! let engine = SinkEngine::new(limits.stack)?;
//! let cache = CompileCache::open("compiled", Compiler::InProcess)?;
//! let component = SinkComponent::load(&engine, &cache, "tally.wasm".as_ref(), &limits)?;
//! let tally = ComponentSink::new("tally", component, limits, Vec::new());
//!
//! let source = LocalSource::file("/var/lib/hydra/state", ReadOptions::default());
//! let stream = Stream { name: "my-head".to_owned(), epoch: 0, format: StreamFormat::state_event() };
//! let sinks = vec![InlineSink::new("tally", Box::new(tally), FlushPolicy::default())];
//! let mut node = Node::new(stream, Box::new(source), sinks);
//!
//! let stop = CancellationToken::new();
//! node.open().await?;
//! node.hydrate(&stop, &mut Silent).await?; // all that is in the log now
//! node.follow(&stop, &mut Silent).await?; // what is added, until `stop` is cancelled
//! node.close(CloseReason::Stop).await?;
//! # Ok(()) }
//! ```
//!
//! # Errors
//!
//! Each operation has its own enum: [`store::ReadError`], [`store::AppendError`], [`source::SourceError`], [`sink::SinkError`],
//! [`component::LoadError`], [`config::ConfigError`], [`node::NodeError`]. Causes are in `source`, not in the message.

pub mod admin;
pub mod api;
mod backoff;
pub mod component;
pub mod config;
pub mod data_dir;
pub mod delivery;
mod durable_file;
mod error_chain;
pub mod event;
pub mod head;
mod http_server;
mod json_text;
pub mod node;
pub mod offline;
mod own_listeners;
pub mod sample;
pub mod sink;
pub mod sink_store;
pub mod source;
pub mod store;
pub mod stream;
