//! The versions of one sink's component: loaded under the sink's limits, and kept so that one can be returned to.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cache::{CompileCache, ComponentDigest};
use super::consent::{Accepted, Consent, ConsentError};
use super::engine::SinkEngine;
use super::grants::Grants;
use super::inspect::{InspectError, Inspection};
use super::limits::Limits;
use super::load::{LoadError, SinkComponent, check_pin, read_component};
use super::sink::ComponentSink;
use crate::delivery::{NewVersion, VersionLoader};
use crate::durable_file;
use crate::sink_store::{ActiveVersion, Change, SinkStore, StoreError, VersionRecord};

/// Why the version in charge of a sink cannot be found out or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// The component cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A component cannot be kept, or one that was kept cannot be read.
    #[error("cannot use {path}", path = .path.display())]
    Kept {
        /// Its file in the data directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A component that was kept is not what it was.
    #[error("the component kept in {path} was altered", path = .path.display())]
    Altered {
        /// Its file in the data directory.
        path: PathBuf,
    },
    /// The operator has not agreed to it.
    #[error(transparent)]
    Consent(#[from] ConsentError),
    /// It could not be inspected at its first use.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// The store of cursors failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Loads the versions of one sink's component.
#[derive(Debug)]
pub struct ComponentVersions {
    /// The sink's name.
    pub name: String,
    /// The engine for the sink's stack limit.
    pub engine: SinkEngine,
    /// Where compiled components are kept.
    pub cache: CompileCache,
    /// Where the components themselves are kept, by digest.
    pub folder: PathBuf,
    /// Which versions may run.
    pub consent: Consent,
    /// The limits of the sink.
    pub limits: Limits,
    /// What the operator granted.
    pub grants: Grants,
    /// The operator's configuration of the component.
    pub config: Vec<(String, String)>,
    /// The store of cursors and key-value.
    pub store: SinkStore,
}

impl ComponentVersions {
    /// Loads the version that is in charge: the configured file, unless a swap has put another one in its place since. What is in charge is
    /// entered in the history if that is new.
    ///
    /// # Errors
    ///
    /// [`VersionError`].
    pub async fn in_charge(&self, path: &Path) -> Result<(NewVersion, ActiveVersion), VersionError> {
        let wasm = read_component(path)?;
        let digest = ComponentDigest::of(&wasm);
        let configured = digest.to_string();
        let swapped = self.store.active_version(&self.name)?.filter(|active| active.configured == configured);
        let (wasm, digest) = match &swapped {
            Some(active) if active.digest != configured => self.kept_bytes(&active.digest)?,
            _ => (wasm, digest),
        };
        self.accept_first(&wasm, &digest).await?;
        let version = self.keep_and_load(&wasm, digest)?;
        let fresh = || ActiveVersion { configured: configured.clone(), digest: configured, watched: None };
        let active = swapped.unwrap_or_else(fresh);
        let last = self.store.last_version(&self.name)?;
        if last.is_none_or(|last| last.digest != active.digest) {
            let since = self.store.cursor(&self.name)?.and_then(|cursor| cursor.durable).map(|place| place.position);
            let record = VersionRecord::now(&active.digest, since, "start");
            self.store.commit(vec![Change::Record { sink: self.name.clone(), record }]).await?;
        }
        Ok((version, active))
    }

    /// A sink's first component is accepted as it is; what that means is written down and said.
    async fn accept_first(&self, wasm: &[u8], digest: &ComponentDigest) -> Result<(), VersionError> {
        let Some(lock) = self.consent.lock.as_ref() else { return Ok(()) };
        if lock.last(&self.name)?.is_some() {
            return Ok(());
        }
        check_pin(self.consent.pinned.as_ref(), digest)?;
        let inspection = Inspection::of(wasm, &self.cache, &self.limits).await?;
        let accepted = Accepted::new(&self.name, &inspection, &self.grants);
        let or_nothing = |list: String| if list.is_empty() { "nothing".to_owned() } else { list };
        let needs: Vec<&str> = accepted.needs.iter().map(|need| need.grant.as_str()).collect();
        tracing::info!(
            "sink {:?}: first use of {}, accepted and written to {}; it needs {} and is granted {}",
            self.name,
            accepted.digest,
            lock.path().display(),
            or_nothing(needs.join(", ")),
            or_nothing(accepted.grants.join(", "))
        );
        Ok(lock.accept(accepted)?)
    }

    fn keep_and_load(&self, wasm: &[u8], digest: ComponentDigest) -> Result<NewVersion, VersionError> {
        let version = self.version(wasm, digest)?;
        let path = self.path(&version.digest);
        if !path.exists() {
            let kept = fs::create_dir_all(&self.folder).and_then(|()| durable_file::write(&path, wasm));
            kept.map_err(|source| VersionError::Kept { path, source })?;
        }
        Ok(version)
    }

    fn kept_bytes(&self, digest: &str) -> Result<(Vec<u8>, ComponentDigest), VersionError> {
        let path = self.path(digest);
        let wasm = fs::read(&path).map_err(|source| VersionError::Kept { path: path.clone(), source })?;
        let found = ComponentDigest::of(&wasm);
        if found.to_string() != digest {
            return Err(VersionError::Altered { path });
        }
        Ok((wasm, found))
    }

    fn version(&self, wasm: &[u8], digest: ComponentDigest) -> Result<NewVersion, VersionError> {
        self.consent.check(&self.name, &digest)?;
        let component = SinkComponent::with_digest(&self.engine, &self.cache, wasm, digest, &self.limits)?;
        let digest = component.digest().to_string();
        let sink = ComponentSink::new(&self.name, component, self.limits.clone(), self.config.clone());
        let mut sink = sink.with_grants(self.grants.clone());
        let key_value = sink.keep_state(&self.store, &self.name);
        Ok(NewVersion { sink: Box::new(sink), key_value, digest })
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }
}

impl VersionLoader for ComponentVersions {
    fn load(&self, wasm: &[u8]) -> Result<NewVersion, Box<dyn Error + Send + Sync>> {
        Ok(self.keep_and_load(wasm, ComponentDigest::of(wasm))?)
    }

    fn load_kept(&self, digest: &str) -> Result<NewVersion, Box<dyn Error + Send + Sync>> {
        let (wasm, digest) = self.kept_bytes(digest)?;
        Ok(self.version(&wasm, digest)?)
    }
}
