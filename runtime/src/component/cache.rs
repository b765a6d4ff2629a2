//! Compiled components, kept by digest so that each is compiled once.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;
use xxhash_rust::xxh3::Xxh3Default;

use super::load::LoadError;

/// sha256 of a component's bytes, in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentDigest(String);

impl ComponentDigest {
    /// Digests a component.
    pub fn of(wasm: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(wasm)))
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

/// Length of the blake3 hash in front of each artifact.
const HASH_BYTES: usize = blake3::OUT_LEN;

/// A folder of compiled components, for its owner alone.
#[derive(Clone, Debug)]
pub struct CompileCache {
    folder: PathBuf,
}

impl CompileCache {
    /// Keeps compiled components in this folder, creating it if it is missing.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    /// The compiled form of a component, from the folder or else compiled now and kept there.
    pub(super) fn component(
        &self,
        engine: &Engine,
        wasm: &[u8],
        digest: &ComponentDigest,
    ) -> Result<Component, LoadError> {
        let path = self.path(engine, digest);
        if let Some(component) = load(engine, &path) {
            return Ok(component);
        }
        let artifact = engine.precompile_component(wasm).map_err(LoadError::Compile)?;
        if let Err(error) = keep(&path, &artifact) {
            tracing::warn!(%error, "cannot keep the compiled component; it will be compiled again next time");
        }
        deserialize(engine, &artifact).map_err(LoadError::Compile)
    }

    /// The file for a component compiled with this engine's version and settings.
    fn path(&self, engine: &Engine, digest: &ComponentDigest) -> PathBuf {
        let mut settings = Xxh3Default::new();
        engine.precompile_compatibility_hash().hash(&mut settings);
        self.folder.join(format!("{digest}-{:016x}.cwasm", settings.finish()))
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
    // SAFETY: the bytes come from `precompile_component` of this process, or from a file in a folder that only its owner can
    // write, whose hash is that recorded when such a process wrote it. wasmtime itself checks version and settings.
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
        let cache = CompileCache::open(folder.path().join("components")).unwrap();
        let engine = Engine::default();
        let wasm = wat::parse_str("(component)").unwrap();
        let digest = ComponentDigest::of(&wasm);
        cache.component(&engine, &wasm, &digest).unwrap();
        let path = cache.path(&engine, &digest);
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
            cache.component(&engine, &wasm, &digest).unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }
}
