//! Whether an event fits the types: read down to its leaves, and written back.

use super::leaf::is_same;
use super::state_changed::StateChanged;
use super::typed::{JsonWriter, TypeError, Typed};
use crate::event::{StateEvent, Text};

/// Why an event does not come back as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undecodable {
    /// A value is not what hydra-node writes there.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// No version known here has this constructor.
    #[error("no StateChanged of this name is known")]
    UnknownTag,
    /// It is read, and something else is written.
    #[error("it does not come back as equal JSON")]
    Different,
}

/// Reads an event into its type, down to the last leaf, and back.
///
/// # Errors
///
/// [`Undecodable`].
pub fn check(event: &StateEvent) -> Result<(), Undecodable> {
    let change = StateChanged::of(event)?;
    if let StateChanged::Unknown(_) = change {
        return Err(Undecodable::UnknownTag);
    }
    let mut out = JsonWriter::through_types();
    change.write(&mut out)?;
    let text = event.state_changed_text().map_err(TypeError::not_json(event.text()))?;
    if is_same(&text, &Text::from(out.finish()))? { Ok(()) } else { Err(Undecodable::Different) }
}
