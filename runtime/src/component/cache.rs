//! Compiled components, kept by digest so that each is compiled once.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;
use xxhash_rust::xxh3::Xxh3Default;

use super::compile::Compiler;
use super::engine::SinkEngine;
use super::limits::Limits;
use super::load::LoadError;

/// sha256 of a component's bytes, in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentDigest(String);

impl ComponentDigest {
    /// Digests a component.
    pub fn of(wasm: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(wasm)))
    }

    /// Its beginning, from which seeded random numbers are made.
    pub(super) fn seed(&self) -> [u8; 16] {
        let mut seed = [0; 16];
        let _ = hex::decode_to_slice(self.0.get(..2 * seed.len()).unwrap_or_default(), &mut seed);
        seed
    }
}

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected sha256: and 64 hexadecimal digits, not {0:?}")]
pub struct ParseDigestError(String);

impl std::str::FromStr for ComponentDigest {
    type Err = ParseDigestError;

    /// Reads `sha256:` and 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64 && hex::decode(digits).is_ok());
        digits.map(|digits| Self(digits.to_lowercase())).ok_or_else(|| ParseDigestError(text.to_owned()))
    }
}

impl std::fmt::Display for ComponentDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first digits of a digest in hex: enough for people.
pub fn short_digest(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// Permission bits of the group and of others to write.
const OTHERS_WRITE: u32 = 0o022;

/// Length of the blake3 hash in front of each artifact.
const HASH_BYTES: usize = blake3::OUT_LEN;

/// A folder of compiled components, for its owner alone.
#[derive(Clone, Debug)]
pub struct CompileCache {
    /// None: nothing is kept.
    folder: Option<PathBuf>,
    compiler: Compiler,
}

impl CompileCache {
    /// Keeps what the compiler makes in this folder, creating it if it is missing.
    ///
    /// # Errors
    ///
    /// If it cannot be created, or belongs to another user, or others may write to it: what lies there is run.
    pub fn open(folder: impl Into<PathBuf>, compiler: Compiler) -> io::Result<Self> {
        let folder = folder.into();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let metadata = fs::metadata(&folder)?;
        let (mode, ours) = (metadata.permissions().mode(), rustix::process::geteuid().as_raw());
        if metadata.uid() != ours || mode & OTHERS_WRITE != 0 {
            let why = format!("it must belong to our user ({ours}) and be writable by no other (chmod go-w)");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Ok(Self { folder: Some(folder), compiler })
    }

    /// Keeps nothing: for who looks at a component once.
    pub fn nowhere(compiler: Compiler) -> Self {
        Self { folder: None, compiler }
    }

    /// The compiled form of a component, from the folder or else compiled now and kept there.
    pub(super) fn component(
        &self,
        sinks: &SinkEngine,
        wasm: &[u8],
        digest: &ComponentDigest,
        limits: &Limits,
    ) -> Result<Component, LoadError> {
        let engine = sinks.engine();
        let Some(path) = self.path(engine, digest) else {
            return deserialize(engine, &self.compiler.compile(sinks, wasm, limits)?).map_err(LoadError::Artifact);
        };
        if let Some(component) = load(engine, &path) {
            return Ok(component);
        }
        // Who wants the same at the same time waits for it.
        let _turn = Turn::take(&path);
        if let Some(component) = load(engine, &path) {
            return Ok(component);
        }
        let artifact = self.compiler.compile(sinks, wasm, limits)?;
        if let Err(error) = keep(&path, &artifact) {
            tracing::warn!(%error, "cannot keep the compiled component; it will be compiled again next time");
        }
        deserialize(engine, &artifact).map_err(LoadError::Artifact)
    }

    /// The file for a component compiled with this engine's version and settings.
    fn path(&self, engine: &Engine, digest: &ComponentDigest) -> Option<PathBuf> {
        let mut settings = Xxh3Default::new();
        engine.precompile_compatibility_hash().hash(&mut settings);
        let name = format!("{digest}-{:016x}.cwasm", settings.finish());
        self.folder.as_ref().map(|folder| folder.join(name))
    }
}

/// The right to compile one component, among all processes that use the folder. Without it (a folder that is full, say) it is compiled all the same.
struct Turn {
    path: PathBuf,
    _lock: Option<File>,
}

impl Turn {
    fn take(artifact: &Path) -> Self {
        let path = artifact.with_extension("lock");
        let lock = File::create(&path).and_then(|file| file.lock().map(|()| file)).ok();
        Self { path, _lock: lock }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Whoever has opened it still waits for this lock; who comes after that may compile once more, which does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// The component kept at `path`, if it is whole: wasmtime itself accepts an altered artifact, so its hash is compared on the very bytes
/// that are then used.
fn load(engine: &Engine, path: &Path) -> Option<Component> {
    let bytes = fs::read(path).ok()?;
    let (hash, artifact) = bytes.split_at_checked(HASH_BYTES)?;
    if blake3::hash(artifact).as_bytes() != hash {
        tracing::warn!(path = %path.display(), "a compiled component was altered or cut short; compiling anew");
        return None;
    }
    deserialize(engine, artifact).ok()
}

#[expect(unsafe_code, reason = "wasmtime cannot check that bytes are an artifact of its own; see below")]
fn deserialize(engine: &Engine, artifact: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes come from `precompile_component` of this process or of a child of it that runs our own program, or from a file in a
    // folder that only its owner can write, whose hash is that recorded when such a process wrote it. wasmtime itself checks version and settings.
    unsafe { Component::deserialize(engine, artifact) }
}

/// Writes beside and renames, so that a crash leaves a whole file or none.
fn keep(path: &Path, artifact: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let hash = blake3::hash(artifact);
    fs::write(&beside, [hash.as_bytes(), artifact].concat())?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_altered_artifact_is_compiled_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CompileCache::open(folder.path().join("components"), Compiler::InProcess).unwrap();
        let limits = Limits::default();
        let sinks = SinkEngine::new(limits.stack).unwrap();
        let engine = sinks.engine().clone();
        let wasm = wat::parse_str("(component)").unwrap();
        let digest = ComponentDigest::of(&wasm);
        cache.component(&sinks, &wasm, &digest, &limits).unwrap();
        let path = cache.path(&engine, &digest).unwrap();
        assert!(load(&engine, &path).is_some());
        let whole = fs::read(&path).unwrap();
        for altered in [
            whole[..whole.len() - 1].to_vec(),
            {
                let mut a = whole.clone();
                a[whole.len() / 2] ^= 1;
                a
            },
            vec![],
        ] {
            fs::write(&path, altered).unwrap();
            assert!(load(&engine, &path).is_none());
            cache.component(&sinks, &wasm, &digest, &limits).unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }
}
