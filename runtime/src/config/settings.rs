//! Named settings from a URI's parameters or a table of the configuration file, each to be used once.

use super::ConfigError;

/// Settings of one source or sink that nobody has used yet.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Whose settings these are, for error messages.
    owner: String,
    entries: Vec<(String, String)>,
}

impl Settings {
    pub(super) fn new(owner: String, entries: Vec<(String, String)>) -> Result<Self, ConfigError> {
        for (index, (key, _)) in entries.iter().enumerate() {
            if entries.iter().take(index).any(|(other, _)| other == key) {
                return Err(ConfigError::GivenTwice { owner, key: key.clone() });
            }
        }
        Ok(Self { owner, entries })
    }

    /// Takes a setting out.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        let found = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.remove(found).1)
    }

    /// Takes a setting out and reads it.
    pub(super) fn take_parsed<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        read(&value).map(Some).map_err(|problem| self.bad_value(key, problem))
    }

    /// Takes out all settings whose name begins with the prefix; gives them without it.
    pub(super) fn take_prefixed(&mut self, prefix: &str) -> Vec<(String, String)> {
        let taken = self.entries.extract_if(.., |(name, _)| name.starts_with(prefix));
        taken.map(|(name, value)| (name.strip_prefix(prefix).unwrap_or_default().to_owned(), value)).collect()
    }

    pub(super) fn bad_value(&self, key: &str, problem: String) -> ConfigError {
        ConfigError::BadValue { owner: self.owner.clone(), key: key.to_owned(), problem }
    }

    /// Refuses what nobody has taken.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), ConfigError> {
        match self.entries.into_iter().next() {
            None => Ok(()),
            Some((key, _)) => Err(ConfigError::UnknownKey { owner: self.owner, key, known: known.join(", ") }),
        }
    }
}
