//! `hydrant:events/secrets`

use std::collections::BTreeMap;

use crate::component::bindings::secrets::Host;

/// The secrets given to one instance, by name.
#[derive(Default)]
pub(crate) struct Secrets(pub(super) BTreeMap<String, String>);

impl Host for Secrets {
    fn get(&mut self, name: String) -> Option<String> {
        self.0.get(&name).cloned()
    }
}
