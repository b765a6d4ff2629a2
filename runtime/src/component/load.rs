//! From a file to a component that is compiled, linked and checked, ready to be instantiated.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use super::bindings::{batch, event_sink, flush, handover, lifecycle};
use super::cache::{CompileCache, ComponentDigest};
use super::compile::CompileError;
use super::engine::SinkEngine;
use super::host::{HostState, add_to_linker};
use super::interface::{Exported, Interface, exports_of, imports_of, is_of_contract};
use super::limits::Limits;

/// The largest component taken, in bytes: a Python sink with its interpreter has under 20 MiB, and compiling costs seconds for each
/// ten.
pub const MAX_COMPONENT: u64 = 64 * 1024 * 1024;

/// What a component imports to keep state with the host, in whatever version.
const KEY_VALUE: &str = "hydrant:events/key-value@";

/// Why a component cannot be a sink or a source here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the component {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is larger than is taken.
    #[error("the component {path} is larger than {MAX_COMPONENT} bytes", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A core module, as `wasm32-wasip1` makes them.
    #[error("this is a core WebAssembly module, not a component; build for WASI 0.2 (in Rust: --target wasm32-wasip2)")]
    CoreModule,
    /// It cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// What the compiler made cannot be used.
    #[error("the compiled component cannot be used")]
    Artifact(#[source] wasmtime::Error),
    /// It does not export what every sink, or every source, exports.
    #[error("this component is not a {what} of this contract: expected export {expected}, found {}", list(.exports))]
    Lacks {
        /// What it should be.
        what: &'static str,
        /// The interface that was looked for.
        expected: &'static str,
        /// What the component exports.
        exports: Vec<String>,
    },
    /// It exports an interface of that name with another function type.
    #[error("{interface} is not the one of this contract: function {function:?} is missing or has another type")]
    WrongType {
        /// The interface.
        interface: &'static str,
        /// The function.
        function: &'static str,
        /// What differs, if the function is there.
        #[source]
        source: Option<wasmtime::Error>,
    },
    /// It imports something that the host does not provide.
    #[error("this component imports what this host does not provide; it imports {}", list(.imports))]
    Import {
        /// All that it imports of the contract, or else everything.
        imports: Vec<String>,
        /// The first that is missing.
        #[source]
        source: wasmtime::Error,
    },
    /// It is another component than the one that was pinned.
    #[error("it is sha256:{found}, and digest=sha256:{pinned} pins another")]
    Pinned {
        /// The digest configured.
        pinned: ComponentDigest,
        /// The component's own.
        found: ComponentDigest,
    },
    /// Linking failed for another reason.
    #[error("cannot link the component")]
    Link(#[source] wasmtime::Error),
    /// The engine could not be made.
    #[error("cannot set up the WebAssembly engine")]
    Engine(#[source] wasmtime::Error),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// A component that passed every check that can be made without running it. Clones, and loads of the same bytes on one engine, share it.
#[derive(Clone)]
pub struct SinkComponent {
    pub(super) engine: SinkEngine,
    loaded: Arc<Loaded>,
}

impl std::ops::Deref for SinkComponent {
    type Target = Loaded;

    fn deref(&self) -> &Loaded {
        &self.loaded
    }
}

/// Code and functions of a component.
pub struct Loaded {
    pub(super) pre: InstancePre<HostState>,
    pub(super) sink: <event_sink::Guest as Interface>::Indices,
    pub(super) lifecycle: Option<<lifecycle::Guest as Interface>::Indices>,
    pub(super) flush: Option<<flush::Guest as Interface>::Indices>,
    pub(super) batch: Option<<batch::Guest as Interface>::Indices>,
    pub(super) handover: Option<<handover::Guest as Interface>::Indices>,
    key_value: bool,
    digest: ComponentDigest,
}

impl std::fmt::Debug for SinkComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.loaded.fmt(f)
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl SinkComponent {
    /// Reads, compiles (or takes from the cache), links and checks the component in a file.
    ///
    /// # Errors
    ///
    /// [`LoadError`]. No guest code has run.
    pub fn load(engine: &SinkEngine, cache: &CompileCache, path: &Path, limits: &Limits) -> Result<Self, LoadError> {
        let wasm = read_component(path)?;
        Self::from_bytes(engine, cache, &wasm, limits)
    }

    /// As [`load`](Self::load), from memory.
    ///
    /// # Errors
    ///
    /// [`LoadError`]. No guest code has run.
    pub fn from_bytes(
        engine: &SinkEngine,
        cache: &CompileCache,
        wasm: &[u8],
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        Self::with_digest(engine, cache, wasm, ComponentDigest::of(wasm), limits)
    }

    /// As [`from_bytes`](Self::from_bytes), where the digest of `wasm` is known already.
    pub(super) fn with_digest(
        engine: &SinkEngine,
        cache: &CompileCache,
        wasm: &[u8],
        digest: ComponentDigest,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        refuse_core_module(wasm)?;
        if let Some(loaded) = engine.loaded(&digest.to_string()) {
            return Ok(Self { engine: engine.clone(), loaded });
        }
        let component = cache.component(engine, wasm, &digest, limits)?;
        let pre = link(engine.engine(), &component)?;
        let exported = Exported::of(&component, &pre);
        let loaded = Arc::new(Loaded {
            sink: exported.required::<event_sink::Guest>("sink")?,
            lifecycle: exported.optional::<lifecycle::Guest>()?,
            flush: exported.optional::<flush::Guest>()?,
            batch: exported.optional::<batch::Guest>()?,
            handover: exported.optional::<handover::Guest>()?,
            key_value: imports_of(&component).iter().any(|name| name.starts_with(KEY_VALUE)),
            pre,
            digest,
        });
        engine.keep_loaded(loaded.digest.to_string(), &loaded);
        Ok(Self { engine: engine.clone(), loaded })
    }

    /// The names of what it exports.
    pub(super) fn exports(&self) -> Vec<String> {
        exports_of(self.pre.component())
    }

    /// The names of what it imports.
    pub(super) fn imports(&self) -> Vec<String> {
        imports_of(self.pre.component())
    }

    /// Whether it imports `key-value`, and so keeps state with the host.
    pub fn uses_key_value(&self) -> bool {
        self.key_value
    }

    /// sha256 of the component's bytes.
    pub fn digest(&self) -> &ComponentDigest {
        &self.digest
    }
}

/// Reads a component's file.
///
/// # Errors
///
/// [`LoadError::Read`], or [`LoadError::TooLarge`] above [`MAX_COMPONENT`].
pub fn read_component(path: &Path) -> Result<Vec<u8>, LoadError> {
    let fail = |source| LoadError::Read { path: path.to_owned(), source };
    let mut wasm = Vec::new();
    File::open(path).map_err(fail)?.take(MAX_COMPONENT + 1).read_to_end(&mut wasm).map_err(fail)?;
    if wasm.len() as u64 > MAX_COMPONENT {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    Ok(wasm)
}

/// Refuses a component other than the one that was pinned.
///
/// # Errors
///
/// [`LoadError::Pinned`].
pub fn check_pin(pinned: Option<&ComponentDigest>, found: &ComponentDigest) -> Result<(), LoadError> {
    match pinned.filter(|pinned| *pinned != found) {
        Some(pinned) => Err(LoadError::Pinned { pinned: pinned.clone(), found: found.clone() }),
        None => Ok(()),
    }
}

pub(super) fn refuse_core_module(wasm: &[u8]) -> Result<(), LoadError> {
    // The preamble of a core module: magic number, version 1, layer 0.
    if wasm.starts_with(b"\0asm\x01\0\0\0") { Err(LoadError::CoreModule) } else { Ok(()) }
}

pub(super) fn link(engine: &Engine, component: &Component) -> Result<InstancePre<HostState>, LoadError> {
    let mut linker = Linker::new(engine);
    add_to_linker(&mut linker).map_err(LoadError::Link)?;
    linker.instantiate_pre(component).map_err(|source| {
        let mut imports = imports_of(component);
        if imports.iter().any(|name| is_of_contract(name)) {
            imports.retain(|name| is_of_contract(name));
        }
        LoadError::Import { imports, source }
    })
}
