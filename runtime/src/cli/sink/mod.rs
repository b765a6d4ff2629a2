//! `hydrant sink`: look at a component before it is trusted, try it, and agree to it.

mod check;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bytesize::ByteSize;
use hydrant::component::{Accepted, CompileCache, Grants, Import, Inspection, Limits, LockFile, Role, read_component};
use hydrant::config::{ConfigFile, SinkKind};
use serde::Serialize;

use super::output::print;
use super::{Exit, Failure, SinkCommand, compiler};

pub(super) fn run(command: SinkCommand) -> Result<Exit, Failure> {
    let text = match command {
        SinkCommand::Check { sink, against, json } => {
            let checked = check::check(&sink, &against, json).map_err(Exit::Usage.because())?;
            print(&checked.text)?;
            return checked.failure.map_or(Ok(Exit::Success), |error| Err(Exit::SinkFailed.because()(error)));
        }
        SinkCommand::Inspect { component, json, sink, config } => {
            let locked = sink.as_deref().zip(config.as_deref());
            inspect(&component, json, locked).map_err(Exit::Usage.because())?
        }
        SinkCommand::Accept { sink, config, component } => {
            accept(&sink, &config, component.as_deref()).map_err(Exit::Usage.because())?
        }
    };
    print(&text)
}

/// Compiles as `run` does, and keeps nothing.
fn compile_cache() -> anyhow::Result<CompileCache> {
    Ok(CompileCache::nowhere(compiler::child()?))
}

/// What `--json` prints.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Inspected<'a> {
    #[serde(flatten)]
    inspection: &'a Inspection,
    /// What differs from what was accepted as the sink that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    differences: Option<Vec<String>>,
}

fn inspect(path: &Path, json: bool, locked: Option<(&str, &Path)>) -> anyhow::Result<String> {
    let inspection = inspection(path, &Limits::default())?;
    let differences = match locked {
        Some((sink, config)) => {
            let (grants, _, _) = component_of(sink, config)?;
            Some(differences(&Accepted::new(sink, &inspection, &grants), &LockFile::beside(config))?)
        }
        None => None,
    };
    if json {
        return Ok(serde_json::to_string_pretty(&Inspected { inspection: &inspection, differences })? + "\n");
    }
    let mut text = in_words(path, &inspection);
    if let (Some(differences), Some((sink, _))) = (differences, locked) {
        let _ = writeln!(text, "\nCompared with what was accepted as sink {sink:?}:");
        list(&mut text, &differences);
    }
    Ok(text)
}

fn accept(sink: &str, config: &Path, component: Option<&Path>) -> anyhow::Result<String> {
    let (grants, limits, configured) = component_of(sink, config)?;
    let accepted = Accepted::new(sink, &inspection(component.unwrap_or(&configured), &limits)?, &grants);
    let lock = LockFile::beside(config);
    let mut text = format!("sink {sink:?}: {} is accepted\n", accepted.digest);
    list(&mut text, &differences(&accepted, &lock)?);
    lock.accept(accepted)?;
    let _ = writeln!(text, "written to {}", lock.path().display());
    Ok(text)
}

fn inspection(path: &Path, limits: &Limits) -> anyhow::Result<Inspection> {
    let wasm = read_component(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Inspection::of(&wasm, &compile_cache()?, limits)).with_context(|| path.display().to_string())
}

/// What a sink of the configuration is granted, its limits, and its component's file.
fn component_of(sink: &str, config: &Path) -> anyhow::Result<(Grants, Limits, PathBuf)> {
    let sinks = ConfigFile::read(config)?.event_sinks;
    let found = sinks.iter().find(|configured| configured.name == sink).map(|configured| &configured.kind);
    match found {
        Some(SinkKind::Component { path, limits, grants, .. }) => {
            Ok(((**grants).clone(), (**limits).clone(), path.clone()))
        }
        Some(_) => anyhow::bail!("sink {sink:?} of {} is no component", config.display()),
        None => {
            let names: Vec<&str> = sinks.iter().map(|configured| configured.name.as_str()).collect();
            anyhow::bail!("{} has no sink {sink:?}; it has {}", config.display(), names.join(", "))
        }
    }
}

fn differences(accepted: &Accepted, lock: &LockFile) -> anyhow::Result<Vec<String>> {
    Ok(match lock.last(&accepted.name)? {
        Some(before) => accepted.differs_from(&before),
        None => vec!["nothing was accepted before".to_owned()],
    })
}

fn list(text: &mut String, differences: &[String]) {
    for difference in differences {
        let _ = writeln!(text, "  {difference}");
    }
    if differences.is_empty() {
        let _ = writeln!(text, "  nothing differs from what was accepted before");
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
