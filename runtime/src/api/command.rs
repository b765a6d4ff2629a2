//! What clients send over the WebSocket.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::offline::{Command, ledger::Ledger};

/// hydra-node's commands that a head without a chain cannot carry out.
const NEED_A_CHAIN: [&str; 8] =
    ["Init", "Abort", "Contest", "Decommit", "Recover", "SafeClose", "SideLoadSnapshot", "PartialFanout"];

#[derive(Deserialize)]
struct Sent<'a> {
    tag: String,
    #[serde(borrow)]
    transaction: Option<&'a RawValue>,
}

/// Reads a command.
///
/// # Errors
///
/// Why it is none, in words.
pub(super) fn read(text: &str, ledger: &dyn Ledger) -> Result<Command, String> {
    let sent: Sent<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match (&*sent.tag, sent.transaction) {
        ("NewTx", Some(tx)) => ledger.transaction(tx.get()).map(Command::NewTx),
        ("NewTx", None) => Err("NewTx has no transaction".to_owned()),
        ("Close", _) => Ok(Command::Close),
        ("Fanout", _) => Ok(Command::Fanout),
        (tag, _) if NEED_A_CHAIN.contains(&tag) => Ok(Command::Refused(sent.tag)),
        (tag, _) => {
            Err(format!("unknown command {tag:?}; known are NewTx, Close, Fanout, {}", NEED_A_CHAIN.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::offline::ledger::{CardanoLedger, ProtocolParameters, SimpleLedger};

    proptest! {
        #[test]
        fn whatever_is_sent_is_read_or_refused(
            text in prop_oneof![".{0,100}", "[{}\":,0-9a-z]{0,60}"],
            cut in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let cardano = CardanoLedger::new(ProtocolParameters::shipped().unwrap());
            let ledgers: [&dyn Ledger; 2] = [&SimpleLedger, &cardano];
            let mut whole = br#"{"tag":"NewTx","transaction":{"id":1,"inputs":[-1],"outputs":[2],"cborHex":"84a0a0f5f6"}}"#.to_vec();
            let at = cut.index(whole.len());
            whole[at] = byte;
            for text in [&*text, &*String::from_utf8_lossy(&whole), &*String::from_utf8_lossy(&whole[..at])] {
                for ledger in ledgers {
                    prop_assert!(read(text, ledger).map_or_else(|reason| !reason.is_empty(), |_| true));
                }
            }
        }
    }

    #[test]
    fn commands_are_read_and_others_are_named() {
        let read = |text: &str| read(text, &SimpleLedger);
        let new_tx = read(r#"{"tag":"NewTx","transaction":{"id":1,"inputs":[],"outputs":[2]}}"#);
        assert!(matches!(new_tx, Ok(Command::NewTx(tx)) if tx.text() == r#"{"id":1,"inputs":[],"outputs":[2]}"#));
        assert!(matches!(read(r#"{"tag":"Close"}"#), Ok(Command::Close)));
        assert!(matches!(read(r#"{"tag":"Contest"}"#), Ok(Command::Refused(tag)) if tag == "Contest"));
        for (text, problem) in [
            ("", "EOF"),
            (r#"{"tag":"NewTx"}"#, "no transaction"),
            (r#"{"tag":"NewTx","transaction":{"cborHex":"00"}}"#, "missing field"),
            (r#"{"tag":"Nope"}"#, "known are NewTx"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
