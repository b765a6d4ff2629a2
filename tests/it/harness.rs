//! What the tests share: guests, logs, and the real process.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hydrant::component::{CompileCache, Compiler, ComponentSink, Limits, LoadError, SinkComponent, SinkEngine};
use hydrant::event::StateEvent;
use hydrant::sink::OpenInfo;
use hydrant::sink_store::{KeyValue, Quota, SinkStore};
use hydrant::store::{LogReader, ReadError, ReadLog, ReadOptions};
use hydrant::stream::{Stream, StreamFormat};
use tempfile::TempDir;

/// The root of the project.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The folder that cargo builds into: the test binary lies in `<target>/<profile>/deps`.
pub(crate) fn target() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// A guest built from source.
pub(crate) fn guest(name: &str) -> PathBuf {
    let path = target().join(format!("guests/{name}.wasm"));
    assert!(path.exists(), "{} is missing: run `make guests`", path.display());
    path
}

/// The URI of a guest, granted what it cannot work without.
pub(crate) fn wasm(name: &str, parameters: &str) -> String {
    let grant = if name == "kv-tally" { "grant.key-value=yes&" } else { "" };
    format!("wasm:{}?{grant}{parameters}", guest(name).display())
}

/// The example source over a log, as a URI.
pub(crate) fn ndjson_source(folder: &Folder, log: &Path) -> String {
    let folder = folder.path("");
    wasm("ndjson-source", &format!("grant.dir={}:ro&config.file={}&stream=s", folder.display(), log.display()))
}

/// The default limits, but for these.
pub(crate) fn limits_of(limits: &[(&str, &str)]) -> Limits {
    let mut all = Limits::default();
    for (limit, value) in limits {
        assert!(all.set(limit, value).unwrap(), "there is no limit {limit}");
    }
    all
}

/// The same guest with a custom section more: the same program, and another version.
pub(crate) fn another_version(name: &str, to: &Path, number: u8) -> PathBuf {
    let mut wasm = fs::read(guest(name)).unwrap();
    wasm.extend_from_slice(&[0, 3, 1, b'v', number]);
    fs::write(to, wasm).unwrap();
    to.to_owned()
}

/// What a kv-tally counted in all.
pub(crate) fn counted(store: &SinkStore, sink: &str) -> u64 {
    let key_value = KeyValue::new(store, sink, Quota { keys: 0, bytes: 0 });
    let keys = key_value.keys("count/", None, 1_000).unwrap();
    let count = |key: &String| u64::from_le_bytes(key_value.get(key).unwrap().unwrap().try_into().unwrap());
    keys.iter().map(count).sum()
}

/// A temporary folder with a log in it.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// A run with its own data directory in this folder.
    pub(crate) fn run(&self, source: &Path, sinks: &[&str], more: &[&str]) -> Output {
        self.command(source, sinks, more).output().unwrap()
    }

    pub(crate) fn command(&self, source: &Path, sinks: &[&str], more: &[&str]) -> Command {
        self.command_at(&format!("file://{}", source.display()), sinks, more)
    }

    /// A run over any source.
    pub(crate) fn command_at(&self, source: &str, sinks: &[&str], more: &[&str]) -> Command {
        self.subcommand("run", source, sinks, more)
    }

    /// A head with its log in `state`, and its API on any free port.
    pub(crate) fn head(&self, sinks: &[&str], more: &[&str]) -> Command {
        let mut command = self.subcommand("head", &format!("file://{}", self.path("state").display()), sinks, more);
        command.args(["--api", "127.0.0.1:0"]);
        command
    }

    fn subcommand(&self, name: &str, source: &str, sinks: &[&str], more: &[&str]) -> Command {
        let mut command = hydrant();
        command.arg(name).arg("--data-dir").arg(self.path("data")).args(["--event-source", source]);
        for sink in sinks {
            command.arg("--event-sink").arg(sink);
        }
        command.args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The real program.
pub(crate) fn hydrant() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hydrant"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HYDRANT_")) {
        command.env_remove(name);
    }
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts on the exit code, showing what the process said.
#[track_caller]
pub(crate) fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "stderr:\n{}", stderr(output));
}

/// A wrapped line with a time.
pub(crate) fn line(id: u64) -> String {
    tagged(id, "TickObserved")
}

pub(crate) fn tagged(id: u64, tag: &str) -> String {
    let second = id % 60;
    format!(
        r#"{{"eventId":{id},"stateChanged":{{"chainSlot":{id},"tag":"{tag}"}},"time":"2025-06-01T00:00:{second:02}.123456789012Z"}}"#
    )
}

/// Lines with the ids of a range, each with its newline.
pub(crate) fn lines(ids: impl IntoIterator<Item = u64>) -> String {
    ids.into_iter().map(|id| line(id) + "\n").collect()
}

pub(crate) fn events(ids: impl IntoIterator<Item = u64>) -> Vec<StateEvent> {
    ids.into_iter().map(|id| StateEvent::parse(line(id)).unwrap()).collect()
}

/// Every event that a log holds.
pub(crate) fn read_log(path: &Path) -> Vec<StateEvent> {
    let mut reader = LogReader::open(path, ReadOptions::default()).unwrap();
    let mut events = Vec::new();
    while let Some(page) = reader.read_history().unwrap() {
        events.extend(page.events);
    }
    events
}

pub(crate) fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

pub(crate) fn open_info() -> OpenInfo {
    let stream = Stream { name: "test".to_owned(), epoch: 0, format: StreamFormat::state_event() };
    OpenInfo { stream, head_id: None, resume: None }
}

/// The real program as the compiler.
pub(crate) fn compiler() -> Compiler {
    Compiler::Child { program: env!("CARGO_BIN_EXE_hydrant").into(), arguments: vec!["compile-component".into()] }
}

/// One cache of compiled components for the whole test run.
pub(crate) fn cache() -> CompileCache {
    CompileCache::open(target().join("test-components"), compiler()).unwrap()
}

pub(crate) fn load(wasm: &[u8], limits: &Limits) -> Result<SinkComponent, LoadError> {
    SinkComponent::from_bytes(&SinkEngine::new(limits.stack)?, &cache(), wasm, limits)
}

/// A guest as a sink, under the default limits but for those named.
pub(crate) fn component_sink(name: &str, limits: &[(&str, &str)], config: &[(&str, &str)]) -> ComponentSink {
    sink_of(name, &fs::read(guest(name)).unwrap(), limits, config)
}

/// A component in text form as a sink.
pub(crate) fn wat_sink(wat: &str, limits: &[(&str, &str)]) -> ComponentSink {
    sink_of("wat", &wat::parse_str(wat).unwrap(), limits, &[])
}

fn sink_of(name: &str, wasm: &[u8], limits: &[(&str, &str)], config: &[(&str, &str)]) -> ComponentSink {
    let all = limits_of(limits);
    let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ComponentSink::new(name, load(wasm, &all).unwrap(), all, config)
}

/// Runs a future to its end on a small runtime.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The positions that a log gives until nothing further is there.
pub(crate) fn drain(reader: &mut dyn ReadLog) -> Result<Vec<String>, ReadError> {
    let mut positions = Vec::new();
    loop {
        let page = reader.read_page()?;
        positions.extend(page.events.iter().map(|event| event.position().to_string()));
        if page.caught_up {
            return Ok(positions);
        }
    }
}
