//! What the operator says the head is, compared with what the log says.

use super::state::HeadState;
use super::typed::{Field, Json};
use super::types::HeadParameters;

/// What a head must be, where the operator said so. hydra-node makes the same comparison when it starts, with its own configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpectedHead {
    /// Its id in hexadecimal digits.
    pub head_id: Option<String>,
    /// The verification keys of all parties in hexadecimal digits, in any order.
    pub parties: Option<Vec<String>>,
    /// The contestation period in seconds.
    pub contestation_period: Option<f64>,
}

/// The log's head is not the one that was configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the head of this log is not the one configured: {name} is configured as {configured}, the log has {found}")]
pub struct HeadMismatch {
    /// The parameter's name.
    pub name: &'static str,
    /// What the operator said.
    pub configured: String,
    /// What the log says.
    pub found: String,
}

impl ExpectedHead {
    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Compares with a state. An idle node has no head, and so nothing that could differ.
    ///
    /// # Errors
    ///
    /// The first difference.
    pub fn check(&self, state: &HeadState) -> Result<(), HeadMismatch> {
        let Some(parameters) = state.parameters() else { return Ok(()) };
        let (parties, period) = read(parameters);
        let sorted = |parties: &[String]| {
            let mut parties: Vec<String> = parties.iter().map(|party| party.to_ascii_lowercase()).collect();
            parties.sort();
            parties.join(",")
        };
        let head_id = state.head_id().unwrap_or("none").to_ascii_lowercase();
        differ("head-id", self.head_id.as_ref().map(|id| id.to_ascii_lowercase()), head_id)?;
        differ("parties", self.parties.as_deref().map(sorted), sorted(&parties))?;
        let seconds = |seconds: f64| format!("{seconds}s");
        differ("contestation-period", self.contestation_period.map(seconds), period.map_or("none".to_owned(), seconds))
    }
}

fn differ(name: &'static str, configured: Option<String>, found: String) -> Result<(), HeadMismatch> {
    match configured {
        Some(configured) if configured != found => Err(HeadMismatch { name, configured, found }),
        _ => Ok(()),
    }
}

/// Parties and contestation period; what cannot be read is left out, and differs from everything.
fn read(parameters: &Field<Json<HeadParameters>>) -> (Vec<String>, Option<f64>) {
    let Some(parameters) = parameters.get().and_then(|parameters| parameters.get().ok()) else {
        return (Vec::new(), None);
    };
    let parties = parameters.parties.get().and_then(|parties| parties.get().ok()).unwrap_or_default();
    let keys = parties.iter().filter_map(|party| party.vkey.get()).map(|key| key.digits().to_owned()).collect();
    let period = parameters.contestation_period.get().and_then(|period| period.as_json().parse().ok());
    (keys, period)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::StateEvent;
    use crate::head::HeadFold;

    fn open_head() -> HeadState {
        let json = r#"{"eventId":0,"stateChanged":{"tag":"HeadOpened","chainState":{"recordedAt":null,"spendableUTxO":{}},"headId":"aB","headSeed":"00","parameters":{"contestationPeriod":43200,"parties":[{"vkey":"02"},{"vkey":"01"}]},"parties":[]}}"#;
        let mut fold = HeadFold::new();
        fold.apply(&StateEvent::parse(json).unwrap()).unwrap();
        fold.head().clone()
    }

    fn keys(keys: &[&str]) -> Option<Vec<String>> {
        Some(keys.iter().map(|key| (*key).to_owned()).collect())
    }

    #[test]
    fn what_is_expected_and_there_passes_in_any_order() {
        let expected = ExpectedHead {
            head_id: Some("Ab".to_owned()),
            parties: keys(&["01", "02"]),
            contestation_period: Some(43200.0),
        };
        assert_eq!(expected.check(&open_head()), Ok(()));
        assert_eq!(ExpectedHead::default().check(&open_head()), Ok(()));
        assert_eq!(expected.check(&HeadState::default()), Ok(()));
    }

    #[test]
    fn each_difference_is_shown_with_both_sides() {
        let id = ExpectedHead { head_id: Some("cd".to_owned()), ..ExpectedHead::default() };
        let parties = ExpectedHead { parties: keys(&["01"]), ..ExpectedHead::default() };
        let period = ExpectedHead { contestation_period: Some(60.0), ..ExpectedHead::default() };
        for (expected, configured, found) in [(id, "cd", "ab"), (parties, "01", "01,02"), (period, "60s", "43200s")] {
            let error = expected.check(&open_head()).unwrap_err();
            assert_eq!((&*error.configured, &*error.found), (configured, found));
        }
    }
}
