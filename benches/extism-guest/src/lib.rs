//! An Extism plugin that takes an event and does nothing: what `tests/guests/no-op` is for us.

use extism_pdk::{FnResult, plugin_fn};

/// Takes the text into the guest's memory, as the component model does for ours.
#[plugin_fn]
pub fn put_event(_json: String) -> FnResult<()> {
    Ok(())
}
