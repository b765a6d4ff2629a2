//! What a component says of itself.

use crate::stream::StreamFormat;

use super::bindings::{lifecycle, types};
use super::grants::Need;
use super::printable::printable;

/// The answer to `describe`, as far as the host acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// A short name for people.
    pub name: String,
    /// The component's own version.
    pub version: String,
    /// The stream formats it reads; empty: any.
    pub accepts: Vec<StreamFormat>,
    /// The format it writes to its target.
    pub writes: Option<StreamFormat>,
    /// The tags it wants; empty: all.
    pub tags: Vec<String>,
    /// The rights it cannot work without.
    pub needs: Vec<Need>,
    /// Whether its effects cannot be taken back by a later put.
    pub irreversible: bool,
}

impl Manifest {
    /// Whether the component reads this stream.
    pub fn reads(&self, format: &StreamFormat) -> bool {
        self.accepts.is_empty() || self.accepts.contains(format)
    }

    /// Whether it wants events of this tag.
    pub fn wants(&self, tag: &str) -> bool {
        self.tags.is_empty() || self.tags.iter().any(|wanted| wanted == tag)
    }
}

impl From<lifecycle::Manifest> for Manifest {
    fn from(manifest: lifecycle::Manifest) -> Self {
        let format =
            |format: types::FormatResult| StreamFormat { name: printable(&format.name), version: format.version };
        let needs = manifest.needs.iter();
        Self {
            name: printable(&manifest.name),
            version: printable(&manifest.version),
            accepts: manifest.accepts.into_iter().map(format).collect(),
            writes: manifest.writes.map(format),
            tags: manifest.tags.iter().map(|tag| printable(tag)).collect(),
            needs: needs.map(|need| Need { grant: printable(&need.grant), reason: printable(&need.reason) }).collect(),
            irreversible: manifest.irreversible,
        }
    }
}
