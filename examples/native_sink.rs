//! A fork of the program that adds a native sink: it counts what happens by tag. `cargo run --example native_sink -- LOG`

#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::collections::BTreeMap;

use async_trait::async_trait;
use hydrant::delivery::{FlushPolicy, InlineSink};
use hydrant::event::StateEvent;
use hydrant::node::{Node, Silent};
use hydrant::sink::{Ack, CloseReason, Delivery, EventSink, OpenInfo, Opened, SinkError};
use hydrant::source::LocalSource;
use hydrant::store::ReadOptions;
use hydrant::stream::{Stream, StreamFormat};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
struct Counter(BTreeMap<String, u64>);

#[async_trait]
impl EventSink for Counter {
    fn describe(&self) -> String {
        "counts by tag".to_owned()
    }
    async fn open(&mut self, _info: &OpenInfo) -> Result<Opened, SinkError> {
        Ok(Opened::Beginning)
    }
    async fn put_event(&mut self, event: &StateEvent, _delivery: Delivery) -> Result<Ack, SinkError> {
        *self.0.entry(event.tag().to_owned()).or_default() += 1;
        Ok(Ack::Accepted)
    }
    async fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
    async fn close(&mut self, _reason: CloseReason) -> Result<(), SinkError> {
        self.0.iter().for_each(|(tag, count)| println!("{tag} {count}"));
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let log = std::env::args().nth(1).unwrap_or_else(|| "state".to_owned());
    let stream = Stream { name: "my-head".to_owned(), epoch: 0, format: StreamFormat::state_event() };
    let sink = InlineSink::new("counter", Box::new(Counter::default()), FlushPolicy::default());
    let source = LocalSource::file(log, ReadOptions::default());
    let mut node = Node::new(stream, Box::new(source), vec![sink]);
    node.open().await?;
    node.hydrate(&CancellationToken::new(), &mut Silent).await?;
    node.close(CloseReason::Stop).await?;
    Ok(())
}
