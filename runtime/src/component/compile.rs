//! Compiling components in a child process with bounds of its own, so that no file can take the host down before it even runs.
//!
//! The bounds are about resources. Against a compiler that a file makes run the file's own code they do not help; `SECURITY.md` says so.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, nice, setrlimit};
use wasmtime::Engine;

use super::engine::SinkEngine;
use super::limits::{Limits, Unit};

/// Threads of one compilation: fast enough for a large guest, and a core is left for the head.
const THREADS: u64 = 2;

/// The largest artifact taken, in bytes: several times what the largest component taken compiles to.
const MAX_ARTIFACT: u64 = 1 << 30;

/// Bytes kept of what a child writes to its standard error.
const MAX_WORDS: u64 = 8 * 1024;

/// How often a child is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Added to a child's niceness: it gets what others leave.
const NICENESS: i32 = 10;

/// Who compiles components.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Compiler {
    /// This process, without bounds on memory and time. For components that are trusted not to harm their compiler.
    InProcess,
    /// A child process with bounds: `program`, started with `arguments`, which calls [`serve_compiler`] with those that come after.
    Child {
        /// The program.
        program: PathBuf,
        /// What comes first on its command line.
        arguments: Vec<OsString>,
    },
}

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// It is no component, or a broken one.
    #[error("this is not a valid WebAssembly component")]
    Invalid(#[source] wasmtime::Error),
    /// Compiling it broke a limit.
    #[error("compiling it broke the limit on {name} ({allowed}; a larger one can be given with {name}=)")]
    Limit {
        /// The limit's name.
        name: &'static str,
        /// What was allowed, in words.
        allowed: String,
    },
    /// The compiler itself failed.
    #[error("the compiler failed: {said}")]
    Failed {
        /// How, in its own words.
        said: String,
    },
    /// The child process could not be run.
    #[error("the compiler's process could not be run")]
    Process(#[source] io::Error),
}

impl Compiler {
    /// Compiles a component to what [`wasmtime::component::Component::deserialize`] takes.
    pub(super) fn compile(&self, engine: &SinkEngine, wasm: &[u8], limits: &Limits) -> Result<Vec<u8>, CompileError> {
        match self {
            Self::InProcess => engine.engine().precompile_component(wasm).map_err(CompileError::Invalid),
            Self::Child { program, arguments } => {
                let mut command = Command::new(program);
                command.args(arguments).args(
                    [engine.stack(), limits.compile_memory, limits.compile_cpu.div_ceil(1_000)]
                        .map(|number| number.to_string()),
                );
                compile_in(command, wasm, limits)
            }
        }
    }
}

fn compile_in(mut command: Command, wasm: &[u8], limits: &Limits) -> Result<Vec<u8>, CompileError> {
    command.env_clear().env("RAYON_NUM_THREADS", THREADS.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(CompileError::Process)?;
    let (input, output, words) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (status, artifact, said) = thread::scope(|scope| {
        // A child that ends early closes its input; its status tells why.
        scope.spawn(move || input.map(|mut input| input.write_all(wasm)));
        let artifact = scope.spawn(move || output.map_or(Ok(Vec::new()), |output| read(output, MAX_ARTIFACT)));
        let said = scope.spawn(move || words.map_or(Ok(Vec::new()), |words| read(words, MAX_WORDS)));
        let status = wait(&mut child, Duration::from_millis(limits.compile_timeout));
        let joined =
            |read: thread::ScopedJoinHandle<'_, io::Result<Vec<u8>>>| read.join().unwrap_or_else(|_| Ok(Vec::new()));
        (status, joined(artifact), joined(said))
    });
    let artifact = artifact.map_err(CompileError::Process)?;
    let said = said.map_err(CompileError::Process)?;
    match status.map_err(CompileError::Process)? {
        Some(status) if status.success() => Ok(artifact),
        status => Err(explain(status, String::from_utf8_lossy(&said).trim(), limits)),
    }
}

fn read(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Waits for a child; none if its time was over and it was killed.
fn wait(child: &mut Child, time: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() >= time {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

/// The exit code of a child that was given something that is no component.
const INVALID: i32 = 65;

fn explain(status: Option<ExitStatus>, said: &str, limits: &Limits) -> CompileError {
    use std::os::unix::process::ExitStatusExt;
    let limit = |name, unit: Unit, value| CompileError::Limit { name, allowed: unit.show(value) };
    let Some(status) = status else { return limit("compile-timeout", Unit::Time, limits.compile_timeout) };
    match (status.code(), status.signal()) {
        (Some(INVALID), _) => CompileError::Invalid(wasmtime::Error::msg(said.to_owned())),
        (_, Some(signal)) if signal == Signal::XCPU.as_raw() || signal == Signal::KILL.as_raw() => {
            limit("compile-cpu", Unit::Time, limits.compile_cpu)
        }
        // Who gets no memory in Rust says so and aborts; threads that could not be started panic.
        _ if said.contains("memory allocation of") || said.contains("Cannot allocate memory") => {
            limit("compile-memory", Unit::Bytes, limits.compile_memory)
        }
        _ => CompileError::Failed { said: format!("{status}: {}", said.lines().next_back().unwrap_or_default()) },
    }
}

/// The child's part: reads a component from standard input and writes it compiled to standard output. `arguments` are those that
/// [`Compiler::Child`] adds. Gives the code to exit with; call it before anything else, with nothing open that a stranger should not have.
pub fn serve_compiler(arguments: &[OsString]) -> i32 {
    match serve(arguments) {
        Ok(()) => 0,
        Err((code, error)) => {
            // Nobody is left to be told if this fails.
            let _ = writeln!(io::stderr(), "{error}");
            code
        }
    }
}

fn serve(arguments: &[OsString]) -> Result<(), (i32, String)> {
    let fail = |error: &dyn std::fmt::Display| (1, error.to_string());
    let numbers: Vec<u64> = arguments.iter().filter_map(|argument| argument.to_str()?.parse().ok()).collect();
    let &[stack, memory, seconds] = numbers.as_slice() else {
        return Err(fail(&"expected the stack and the memory in bytes, and seconds of processor time"));
    };
    confine(memory, seconds).map_err(|error| fail(&error))?;
    let engine = Engine::new(&SinkEngine::config(stack)).map_err(|error| fail(&error))?;
    let mut wasm = Vec::new();
    io::stdin().read_to_end(&mut wasm).map_err(|error| fail(&error))?;
    let artifact = engine.precompile_component(&wasm).map_err(|error| (INVALID, format!("{error:#}")))?;
    io::stdout().write_all(&artifact).map_err(|error| fail(&error))
}

/// Gives up what a compiler does not need.
fn confine(memory: u64, seconds: u64) -> rustix::io::Result<()> {
    let at_most = |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    at_most(Resource::As, memory)?;
    at_most(Resource::Cpu, seconds)?;
    at_most(Resource::Core, 0)?;
    // It writes to pipes alone, and opens nothing.
    at_most(Resource::Fsize, 0)?;
    nice(NICENESS)?;
    Ok(())
}
