//! A node with one component sink. `cargo run --example component_sink -- SINK.wasm LOG`

use hydrant::component::{CompileCache, Compiler, ComponentSink, Limits, SinkComponent, SinkEngine};
use hydrant::delivery::{FlushPolicy, InlineSink};
use hydrant::node::{Node, Silent};
use hydrant::sink::CloseReason;
use hydrant::source::LocalSource;
use hydrant::store::ReadOptions;
use hydrant::stream::{Stream, StreamFormat};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(wasm), Some(log)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: component_sink SINK.wasm LOG");
    };
    // What the sink writes to its log goes to standard error.
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // Compiled, linked and type-checked; no guest code has run yet. In this process: this is for components that one trusts to be
    // compiled. `hydrant` has a child process do it.
    let limits = Limits::default();
    let engine = SinkEngine::new(limits.stack)?;
    let component = SinkComponent::load(&engine, &CompileCache::nowhere(Compiler::InProcess), wasm.as_ref(), &limits)?;
    let sink = ComponentSink::new("sink", component, limits, Vec::new());

    let stream = Stream { name: "my-head".to_owned(), epoch: 0, format: StreamFormat::state_event() };
    let source = LocalSource::file(log, ReadOptions::default());
    let sinks = vec![InlineSink::new("sink", Box::new(sink), FlushPolicy::default())];
    let mut node = Node::new(stream, Box::new(source), sinks);
    node.open().await?;
    node.hydrate(&CancellationToken::new(), &mut Silent).await?;
    node.close(CloseReason::Stop).await?;
    Ok(())
}
