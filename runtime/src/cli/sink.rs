//! `hydrant sink`: look at a component before it is trusted.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::path::Path;

use anyhow::Context;
use bytesize::ByteSize;
use hydrant::component::{CompileCache, Import, Inspection, Limits, Role, read_component};

use super::{Exit, Failure, SinkCommand, compiler};

pub(super) fn run(command: SinkCommand) -> Result<Exit, Failure> {
    match command {
        SinkCommand::Inspect { component, json } => inspect(&component, json),
    }
}

fn inspect(path: &Path, json: bool) -> Result<Exit, Failure> {
    let usage = Exit::Usage;
    let wasm = read_component(path).map_err(usage.because())?;
    let cache = CompileCache::nowhere(compiler::child().map_err(usage.because())?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(usage.because())?;
    let inspected = runtime.block_on(Inspection::of(&wasm, &cache, &Limits::default()));
    let inspection = inspected.with_context(|| path.display().to_string()).map_err(usage.because())?;
    let text = match json {
        true => serde_json::to_string_pretty(&inspection).map_err(usage.because())? + "\n",
        false => in_words(path, &inspection),
    };
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Exit::SinkFailed.because()(error)),
        _ => Ok(Exit::Success),
    }
}

fn in_words(path: &Path, inspection: &Inspection) -> String {
    let role = match inspection.role {
        Role::Sink => "an event sink",
        Role::Source => "an event source",
    };
    let mut text = format!("{}: {role}\n", path.display());
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<10} {value}");
    };
    line("digest", &inspection.digest);
    line("size", &ByteSize::b(inspection.bytes).display().iec().to_string());
    line("exports", &inspection.exports.join(", "));
    let or = |items: &[String], none: &str| if items.is_empty() { none.to_owned() } else { items.join(", ") };
    match &inspection.manifest {
        None => {
            line("manifest", "none: it says nothing of itself, and so can be granted nothing that has to be asked for")
        }
        Some(manifest) => {
            line("manifest", &format!("{:?} version {:?}", manifest.name, manifest.version));
            line("reads", &or(&manifest.accepts, "any format"));
            line("wants", &or(&manifest.tags, "events of every tag"));
            for need in &manifest.needs {
                line("needs", &format!("{}: {:?}", need.grant, need.reason));
            }
            if manifest.needs.is_empty() {
                line("needs", "nothing");
            }
            if manifest.irreversible {
                line("effects", "cannot be taken back");
            }
        }
    }
    for (means, names) in by_meaning(&inspection.imports) {
        line("can name", &format!("{means}: {}", names.join(", ")));
    }
    text.push_str("\nGranted nothing, it can compute, wait, and write log lines; nothing else.\n");
    text
}

fn by_meaning(imports: &[Import]) -> Vec<(&'static str, Vec<&str>)> {
    let mut groups: Vec<(&'static str, Vec<&str>)> = Vec::new();
    for import in imports {
        match groups.iter_mut().find(|(means, _)| *means == import.means) {
            Some((_, names)) => names.push(&import.name),
            None => groups.push((import.means, vec![&import.name])),
        }
    }
    groups
}
