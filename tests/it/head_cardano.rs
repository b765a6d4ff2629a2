//! The ledger cardano: real signed transactions of the Conway era, and what is tried to get past its rules.

use hydrant::head::{Json, Tx, Utxo};
use hydrant::offline::ledger::{CardanoLedger, Ledger, MAX_TX_BYTES, ProtocolParameters, Refusal};
use pallas_addresses::Network;
use pallas_crypto::hash::Hasher;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::conway_tx::{
    LOVELACE, POLICY, Wallet, alice, at, bob, body_of, built_by_others, bytes, cbor, envelope, input, list, members,
    number, output, script_address, signed, tokens, wallet, with, with_witnesses, witness,
};
use crate::harness::{Folder, assert_exit, hydrant, stderr};
use crate::head_client::{Client, get, start_with};

const SLOT: u64 = 1_000_000;

fn ledger() -> CardanoLedger {
    CardanoLedger::new(ProtocolParameters::shipped().unwrap())
}

fn ledger_with(parameters: &[(&str, u64)]) -> CardanoLedger {
    let mut json: Value = serde_json::from_str(ledger().protocol_parameters()).unwrap();
    for (name, value) in parameters {
        json[name] = (*value).into();
    }
    CardanoLedger::new(ProtocolParameters::read(&json.to_string()).unwrap())
}

/// Output 0 is Alice's, 1 takes a script, 2 is Alice's with tokens, 3 is Bob's.
fn utxo_json() -> Value {
    let tokens = json!({ "lovelace": LOVELACE, hex::encode(POLICY): { "746f6b656e": 5 } });
    let (alice, bob) = (alice().address.to_bech32().unwrap(), bob().address.to_bech32().unwrap());
    json!({
        at(0): { "address": alice, "value": { "lovelace": LOVELACE } },
        at(1): { "address": script_address(), "value": { "lovelace": LOVELACE } },
        at(2): { "address": alice, "value": tokens },
        at(3): { "address": bob, "value": { "lovelace": LOVELACE } },
    })
}

fn utxo() -> Utxo {
    ledger().outputs(&utxo_json().to_string()).unwrap().get().unwrap()
}

fn read(bytes: &[u8]) -> Result<Json<Tx>, String> {
    ledger().transaction(&envelope(bytes).to_string())
}

/// What comes of a transaction, wherever it is refused.
fn come_of_with(ledger: &CardanoLedger, bytes: &[u8], slot: u64) -> Result<(), Refusal> {
    let never = |reason| Refusal { reason, may_pass: false };
    let tx = ledger.transaction(&envelope(bytes).to_string()).map_err(never)?;
    ledger.validate(&tx.get().unwrap(), &utxo(), slot)
}

fn come_of(bytes: &[u8]) -> Result<(), Refusal> {
    come_of_with(&ledger(), bytes, SLOT)
}

#[track_caller]
fn assert_refused(bytes: &[u8], why: &str) -> bool {
    let refusal = come_of(bytes).expect_err(why);
    assert!(refusal.reason.contains(why), "{refusal:?}, and not {why}");
    refusal.may_pass
}

#[test]
fn a_signed_payment_is_taken_and_one_of_another_builder_too() {
    assert_eq!(come_of(&built_by_others()), Ok(()));
    assert_eq!(come_of(&signed(&with(&[]), &[&alice()])), Ok(()));
    // Tokens move with their output, and may be split.
    let split = [tokens(5_000_000, &[(b"token", 2)]), tokens(5_000_000, &[(b"token", 3)])];
    let split = list(&split.map(|value| output(&bob().address, value)));
    assert_eq!(come_of(&signed(&with(&[(0, list(&[input(2)])), (1, split)]), &[&alice()])), Ok(()));
    // Two inputs of two keys.
    let both = list(&[output(&bob().address, number(2 * LOVELACE))]);
    let both = with(&[(0, list(&[input(0), input(3)])), (1, both)]);
    assert_eq!(come_of(&signed(&both, &[&alice(), &bob()])), Ok(()));
    assert!(!assert_refused(&signed(&both, &[&alice()]), "vkey witness is missing"));
}

#[test]
fn the_text_of_a_transaction_is_its_cbor_under_its_own_id() {
    let tx = read(&built_by_others()).unwrap();
    let value: Value = serde_json::from_str(tx.text()).unwrap();
    assert_eq!((&value["type"], &value["description"]), (&json!("Tx ConwayEra"), &json!("")));
    assert_eq!(value["cborHex"], hex::encode(built_by_others()));
    assert!(ledger().transaction(tx.text()).is_ok());
    let mut other = value.clone();
    other["txId"] = "00".repeat(32).into();
    assert!(ledger().transaction(&other.to_string()).unwrap_err().contains(value["txId"].as_str().unwrap()));
    for none in ["{}", "[]", r#"{"cborHex":"zz"}"#, r#"{"cborHex":""}"#, r#"{"cborHex":"80"}"#] {
        assert!(ledger().transaction(none).is_err(), "{none}");
    }
}

#[test]
fn what_is_not_signed_as_it_has_to_be_is_refused() {
    let body = with(&[]);
    assert!(!assert_refused(&signed(&body, &[]), "witness"));
    assert!(!assert_refused(&signed(&body, &[&bob()]), "vkey witness is missing"));
    // Alice's signature of another body.
    let other = witness(&alice(), &with(&[(2, number(1))]));
    assert!(!assert_refused(&with_witnesses(&body, &[(0, list(&[other]))]), "wrong signature"));
    // A signer who is named and pays nothing.
    let signers =
        |wallet: &Wallet| (14, list(&[bytes(Hasher::<224>::hash(wallet.key.public_key().as_ref()).as_ref())]));
    let named = with(&[signers(&bob())]);
    assert!(!assert_refused(&signed(&named, &[&alice()]), "required signer is missing"));
    assert_eq!(come_of(&signed(&named, &[&alice(), &bob()])), Ok(()));
}

#[test]
fn keys_and_signatures_of_another_length_are_refused_and_end_nothing() {
    let body = with(&[]);
    for (key, signature) in [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)] {
        let witness = list(&[bytes(&vec![1; key]), bytes(&vec![1; signature])]);
        assert!(!assert_refused(&with_witnesses(&body, &[(0, list(&[witness]))]), "too short or too long"));
    }
}

#[test]
fn what_does_not_balance_is_refused() {
    let to_bob = |value: Vec<u8>| list(&[output(&bob().address, value)]);
    for (index, value) in [
        (0, number(LOVELACE + 1)),
        (0, number(LOVELACE - 1)),
        // Tokens that are not there, too many, and lost on the way.
        (0, tokens(LOVELACE, &[(b"token", 1)])),
        (2, tokens(LOVELACE, &[(b"token", 6)])),
        (2, tokens(LOVELACE, &[(b"other", 5)])),
        (2, number(LOVELACE)),
    ] {
        let body = with(&[(0, list(&[input(index)])), (1, to_bob(value))]);
        assert!(!assert_refused(&signed(&body, &[&alice()]), "values are not preserved"));
    }
    // The fee counts as well.
    assert!(!assert_refused(&signed(&with(&[(2, number(1))]), &[&alice()]), "values are not preserved"));
    let rest = to_bob(number(LOVELACE - 9));
    assert_eq!(come_of(&signed(&with(&[(1, rest), (2, number(9))]), &[&alice()])), Ok(()));
}

#[test]
fn sums_that_leave_what_can_be_are_refused_and_do_not_wrap_around() {
    // 2^64 and what there is: in 64 bits it would balance.
    let half = output(&bob().address, number(1 << 63));
    let wrapped = list(&[half.clone(), half, output(&bob().address, number(LOVELACE))]);
    assert!(!assert_refused(&signed(&with(&[(1, wrapped)]), &[&alice()]), "lovelace"));
    let many = |amount: u64| output(&bob().address, tokens(2_000_000, &[(b"token", amount)]));
    let wrapped = list(&[many(1 << 63), many(1 << 63), output(&bob().address, tokens(6_000_000, &[(b"token", 5)]))]);
    assert!(!assert_refused(&signed(&with(&[(0, list(&[input(2)])), (1, wrapped)]), &[&alice()]), "of one token"));
    // A fee that makes up for too much.
    assert!(!assert_refused(&signed(&with(&[(2, number(u64::MAX))]), &[&alice()]), "lovelace"));
}

#[test]
fn what_is_spent_or_not_there_yet_may_pass_later_and_what_is_named_twice_never() {
    assert!(assert_refused(&signed(&with(&[(0, list(&[input(9)]))]), &[&alice()]), "#9 is not there"));
    for key in [13, 18] {
        assert!(assert_refused(&signed(&with(&[(key, list(&[input(9)]))]), &[&alice()]), "#9 is not there"));
    }
    // Counted twice it would pay Bob twice.
    let twice = list(&[output(&bob().address, number(2 * LOVELACE))]);
    let set = |items: Vec<u8>| [vec![0xd9, 0x01, 0x02], items].concat();
    for inputs in [list(&[input(0), input(0)]), set(list(&[input(0), input(0)]))] {
        assert!(!assert_refused(&signed(&with(&[(0, inputs), (1, twice.clone())]), &[&alice()]), "twice"));
    }
    assert!(!assert_refused(&signed(&with(&[(18, list(&[input(0)]))]), &[&alice()]), "twice"));
    assert_eq!(come_of(&signed(&with(&[(18, list(&[input(3)]))]), &[&alice()])), Ok(()));
}

#[test]
fn the_slot_has_to_be_in_the_validity_interval() {
    let from = |slot: u64| signed(&with(&[(8, number(slot))]), &[&alice()]);
    let before = |slot: u64| signed(&with(&[(3, number(slot))]), &[&alice()]);
    assert_eq!(come_of(&from(SLOT)), Ok(()));
    assert_eq!(come_of(&before(SLOT + 1)), Ok(()));
    assert!(assert_refused(&from(SLOT + 1), "valid from slot 1000001 on, and this is slot 1000000"));
    assert!(!assert_refused(&before(SLOT), "valid before slot 1000000, and this is slot 1000000"));
}

#[test]
fn fees_sizes_and_least_amounts_are_those_of_the_parameters() {
    let tx = built_by_others();
    let come_of = |parameters: &[(&str, u64)]| come_of_with(&ledger_with(parameters), &tx, SLOT);
    assert!(come_of(&[("txFeeFixed", 1)]).unwrap_err().reason.contains("fee is below the minimum"));
    assert!(come_of(&[("txFeePerByte", 1)]).unwrap_err().reason.contains("fee is below the minimum"));
    assert_eq!(come_of(&[("maxTxSize", tx.len() as u64)]), Ok(()));
    assert!(come_of(&[("maxTxSize", tx.len() as u64 - 1)]).unwrap_err().reason.contains("bytes, more than"));
    assert!(come_of(&[("utxoCostPerByte", 100_000)]).unwrap_err().reason.contains("minimum lovelace"));
    assert!(come_of(&[("maxValueSize", 0)]).unwrap_err().reason.contains("maximum value size"));
    let large = "00".repeat(MAX_TX_BYTES as usize + 1);
    let large =
        ledger_with(&[("maxTxSize", u64::from(u32::MAX))]).transaction(&json!({ "cborHex": large }).to_string());
    assert!(large.unwrap_err().contains("more than 65536"));
}

#[test]
fn inputs_and_signatures_have_bounds() {
    let large = ledger_with(&[("maxTxSize", u64::from(MAX_TX_BYTES))]);
    let reason = |tx: Vec<u8>| come_of_with(&large, &tx, SLOT).map_err(|refusal| refusal.reason);
    let inputs =
        |count: u64| signed(&with(&[(0, list(&(10..10 + count).map(input).collect::<Vec<_>>()))]), &[&alice()]);
    assert!(reason(inputs(1_000)).unwrap_err().contains("is not there"));
    assert!(reason(inputs(1_001)).unwrap_err().contains("1001 inputs, more than 1000"));
    let wallets: Vec<_> = (0..=199).map(|seed| wallet(seed, Network::Testnet)).collect();
    let mut wallets: Vec<_> = wallets.iter().collect();
    let body = with(&[]);
    assert_eq!(reason(signed(&body, &wallets)), Ok(()));
    let another = wallet(200, Network::Testnet);
    wallets.push(&another);
    assert!(reason(signed(&body, &wallets)).unwrap_err().contains("201 signatures, more than 200"));
    let hash = |seed: u8| bytes(&[seed; 28]);
    let signers = |count: u8| signed(&with(&[(14, list(&(0..count).map(hash).collect::<Vec<_>>()))]), &[&alice()]);
    assert!(reason(signers(200)).unwrap_err().contains("required signer is missing"));
    assert!(reason(signers(201)).unwrap_err().contains("201 required signers, more than 200"));
}

#[test]
fn another_network_is_refused() {
    let mainnet = wallet(2, Network::Mainnet);
    let to = list(&[output(&mainnet.address, number(LOVELACE))]);
    assert!(!assert_refused(&signed(&with(&[(1, to)]), &[&alice()]), "wrong network ID"));
    assert!(!assert_refused(&signed(&with(&[(15, number(1))]), &[&alice()]), "wrong network ID"));
}

#[test]
fn what_takes_a_script_or_a_chain_is_refused_by_name() {
    let script = with(&[(0, list(&[input(1)]))]);
    assert!(!assert_refused(&signed(&script, &[&alice()]), "#1 takes a script, and this ledger runs none"));
    let hash = |byte: u8| bytes(&[byte; 28]);
    let mint = members(&[(bytes(&POLICY), members(&[(bytes(b"token"), number(1))]))]);
    let stake = [vec![0xe0], vec![1; 28]].concat();
    let register = list(&[list(&[number(0), list(&[number(0), hash(1)])])]);
    for (key, value, part) in [
        (4, register, "certificates"),
        (5, members(&[(bytes(&stake), number(0))]), "withdrawals"),
        (9, mint, "mint"),
        (21, number(1), "a donation"),
        (22, number(1), "a donation"),
        (11, bytes(&[1; 32]), "redeemers"),
    ] {
        assert!(!assert_refused(&signed(&with(&[(key, value)]), &[&alice()]), part));
    }
    let body = with(&[]);
    let by_alice = (0, list(&[witness(&alice(), &body)]));
    let native = list(&[list(&[number(0), hash(1)])]);
    for (key, value, part) in [
        (1, native, "a native script"),
        (3, list(&[bytes(&[1])]), "a Plutus script"),
        (6, list(&[bytes(&[1])]), "a Plutus script"),
        (7, list(&[bytes(&[1])]), "a Plutus script"),
    ] {
        assert!(!assert_refused(&with_witnesses(&body, &[by_alice.clone(), (key, value)]), part));
    }
    // One that says of itself that its scripts fail.
    let mut fails = signed(&body, &[&alice()]);
    let at = fails.len() - 2;
    fails[at] = 0xf4;
    assert!(!assert_refused(&fails, "scripts fail"));
}

#[test]
fn what_two_readers_would_read_in_two_ways_is_refused() {
    let to_bob = |lovelace: u64| list(&[output(&bob().address, number(lovelace))]);
    // Two lists of outputs, in either order.
    for (one, other) in [(LOVELACE, 2 * LOVELACE), (2 * LOVELACE, LOVELACE)] {
        let body = body_of([(0, list(&[input(0)])), (1, to_bob(one)), (1, to_bob(other)), (2, number(0))]);
        assert!(come_of(&signed(&body, &[&alice()])).is_err());
    }
    // One token twice.
    for amounts in [(5, 500), (500, 5)] {
        let twice = tokens(LOVELACE, &[(b"token", amounts.0), (b"token", amounts.1)]);
        let body = with(&[(0, list(&[input(2)])), (1, list(&[output(&bob().address, twice)]))]);
        assert!(come_of(&signed(&body, &[&alice()])).is_err());
    }
    // None of a token, in the form of outputs before Babbage.
    let none = tokens(LOVELACE, &[(b"token", 0)]);
    let legacy = list(&[list(&[bytes(&bob().address.to_vec()), none])]);
    assert!(come_of(&signed(&with(&[(1, legacy)]), &[&alice()])).is_err());
    let legacy = list(&[list(&[bytes(&bob().address.to_vec()), number(LOVELACE)])]);
    assert_eq!(come_of(&signed(&with(&[(1, legacy)]), &[&alice()])), Ok(()));
    // Bytes that nobody signed, after the transaction.
    let mut more = signed(&with(&[]), &[&alice()]);
    more.push(0);
    assert!(!assert_refused(&more, "more bytes follow"));
}

#[test]
fn items_within_items_cannot_use_up_the_stack() {
    let deep = |depth: usize| [vec![0x81; depth], vec![0x80]].concat();
    // As metadata, as a native script, and as a datum that is wrapped in bytes.
    let body = with(&[]);
    let scripts = with_witnesses(&body, &[(1, deep(15_000))]);
    assert!(!assert_refused(&scripts, "deep"));
    let wrapped = cbor(|cbor| drop(cbor.tag(minicbor::data::Tag::new(24)).unwrap().bytes(&deep(15_000))));
    let datum = list(&[number(1), wrapped]);
    let output =
        members(&[(number(0), bytes(&bob().address.to_vec())), (number(1), number(LOVELACE)), (number(2), datum)]);
    assert!(!assert_refused(&signed(&with(&[(1, list(&[output]))]), &[&alice()]), "deep"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever is done to the body of a signed transaction, nobody signed that; and nothing ends the process.
    #[test]
    fn a_changed_body_is_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let body = with(&[]);
        let mut tx = signed(&body, &[&alice()]);
        let at = 1 + at.index(body.len());
        prop_assume!(tx[at] != byte);
        tx[at] = byte;
        prop_assert!(come_of(&tx).is_err());
    }

    /// Bytes that are cut, changed and doubled anywhere end nothing.
    #[test]
    fn random_changes_end_nothing(cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..20)) {
        let mut tx = built_by_others();
        for (at, byte, kind) in cuts {
            let at = at.index(tx.len());
            match kind {
                0 => tx[at] = byte,
                1 => drop(tx.remove(at)),
                _ => tx.insert(at, byte),
            }
        }
        let _ = come_of(&tx);
    }
}

#[test]
fn outputs_are_kept_in_hydra_nodes_form_and_in_no_other() {
    let raw = "d87980";
    let address = alice().address.to_bech32().unwrap();
    let given = json!({
        at(0): { "address": address, "value": { "lovelace": 1 }, "datum": null, "datumhash": "11".repeat(32) },
        at(1): { "address": address, "value": { "lovelace": 2 }, "inlineDatum": {"constructor": 0, "fields": []},
            "inlineDatumRaw": raw, "referenceScript": { "scriptLanguage": "PlutusScriptLanguage PlutusScriptV3",
                "script": { "cborHex": "4100", "description": "", "type": "PlutusScriptV3" } } },
        at(2): { "address": address, "value": { "lovelace": 3, hex::encode(POLICY): { "": 1, "ff": i64::MAX } } },
    });
    let outputs = ledger().outputs(&given.to_string()).unwrap();
    let outputs: Value = serde_json::from_str(outputs.text()).unwrap();
    assert_eq!(outputs[at(0)]["datumhash"], "11".repeat(32));
    assert_eq!(outputs[at(1)]["inlineDatum"], json!({ "constructor": 0, "fields": [] }));
    assert_eq!(outputs[at(1)]["inlineDatumhash"], hex::encode(Hasher::<256>::hash(&hex::decode(raw).unwrap())));
    assert_eq!(outputs[at(1)]["referenceScript"], given[at(1)]["referenceScript"]);
    assert_eq!(outputs[at(2)]["value"], given[at(2)]["value"]);

    let one = |output: Value| json!({ at(0): output }).to_string();
    let value = json!({ "lovelace": 1 });
    let of = |value: Value| one(json!({ "address": address, "value": value }));
    for (none, why) in [
        ("[1]".to_owned(), "map"),
        (json!({ "x": { "address": address, "value": value } }).to_string(), "reference"),
        (json!({ format!("{}#01", "00".repeat(32)): { "address": address, "value": value } }).to_string(), "reference"),
        (one(json!({ "address": "addr_test1xyz", "value": value })), "address"),
        (one(json!({ "address": address, "value": value, "more": 1 })), "more"),
        (one(json!({ "address": address, "value": value, "datum": {} })), "unit"),
        (one(json!({ "address": address, "value": value, "datumhash": "11" })), "datumhash"),
        (one(json!({ "address": address, "value": value, "inlineDatum": {} })), "inlineDatumRaw"),
        (one(json!({ "address": address, "value": value, "inlineDatumRaw": "ff" })), "inlineDatumRaw"),
        (of(json!({ "lovelace": -1 })), "Amount"),
        (of(json!({ "lovelace": 45_000_000_000_000_001u64 })), "lovelace"),
        (of(json!({ "ff": { "": 1 } })), "policy"),
        (of(json!({ hex::encode(POLICY): { "": 0 } })), "none of token"),
        (of(json!({ hex::encode(POLICY): { "00".repeat(33): 1 } })), "32 bytes"),
        (of(json!({ hex::encode(POLICY): { "": 1u64 << 63 } })), "of one token"),
    ] {
        let problem = ledger().outputs(&none).expect_err(&none);
        assert!(problem.contains(why), "{none}: {problem}, and not {why}");
    }
    assert!(ledger().outputs(&of(json!({ "lovelace": 45_000_000_000_000_000u64 }))).is_ok());
    assert!(ledger().outputs(&of(json!({ hex::encode(POLICY): { "00".repeat(32): i64::MAX } }))).is_ok());
}

#[test]
fn a_head_takes_a_payment_refuses_what_breaks_a_rule_and_goes_on_after_a_kill() {
    let options = ["--ledger", "cardano"];
    let (running, address) = start_with(&utxo_json().to_string(), Folder::new(), &[], &options);
    let rules = |said: &[String], begin: &str| said.iter().any(|line| line.contains(begin));
    assert!(rules(&running.said(), "ledger cardano: enforced: every input"));
    assert!(rules(&running.said(), "ledger cardano: not enforced: scripts are not run"));
    assert_eq!(get(address, "/protocol-parameters")["utxoCostPerByte"], 4310);

    let mut client = Client::connect(address, "");
    assert_eq!(client.until("Greetings")["snapshotUtxo"][at(0)]["value"]["lovelace"], LOVELACE);
    let new_tx = |bytes: &[u8]| json!({ "tag": "NewTx", "transaction": envelope(bytes) });
    let tx = built_by_others();
    let id = hex::encode(Hasher::<256>::hash(&tx[1..tx.len() - 2 - witnesses_of(&tx)]));
    client.send(&new_tx(&tx));
    assert_eq!(client.until("TxValid")["transactionId"], id);
    let confirmed = client.until("SnapshotConfirmed");
    let outputs = &confirmed["snapshot"]["utxo"];
    assert_eq!(outputs[format!("{id}#0")]["value"]["lovelace"], 4_000_000);
    assert_eq!(outputs[format!("{id}#0")]["address"], bob().address.to_bech32().unwrap());
    assert_eq!((outputs[at(0)].is_null(), outputs[at(1)].is_object()), (true, true));

    // Spent is spent, for another transaction and for the same; and what is not signed, not balanced or not valid now is refused too.
    let body = with(&[(0, list(&[input(3)]))]);
    let more = list(&[output(&bob().address, number(LOVELACE + 1))]);
    let others = witness(&bob(), &with(&[]));
    for (refused, why) in [
        (signed(&with(&[]), &[&alice()]), "#0 is not there"),
        (tx, "#0 is not there"),
        (with_witnesses(&body, &[(0, list(&[others]))]), "wrong signature"),
        (signed(&with(&[(0, list(&[input(3)])), (1, more)]), &[&bob()]), "values are not preserved"),
        (signed(&with(&[(0, list(&[input(3)])), (3, number(SLOT))]), &[&bob()]), "valid before slot 1000000"),
    ] {
        client.send(&new_tx(&refused));
        let invalid = client.until("TxInvalid");
        let reason = invalid["validationError"]["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(why), "{reason}, and not {why}");
    }
    // A client who sends no transaction is told so.
    client.send(&json!({ "tag": "NewTx", "transaction": { "id": 1, "inputs": [], "outputs": [] } }));
    assert!(client.until("InvalidInput")["reason"].as_str().unwrap().contains("cborHex"));

    let folder = running.kill();
    let (running, address) = start_with(&utxo_json().to_string(), folder, &[], &options);
    assert_eq!(&get(address, "/snapshot/utxo"), outputs);
    let log = running.folder.path("state").display().to_string();
    assert_exit(&hydrant().args(["log", "verify", "--decode", &log]).output().unwrap(), 0);
}

/// Bytes of the witnesses of a transaction with one.
fn witnesses_of(tx: &[u8]) -> usize {
    let mut cbor = minicbor::Decoder::new(tx);
    cbor.array().unwrap();
    cbor.skip().unwrap();
    let start = cbor.position();
    cbor.skip().unwrap();
    cbor.position() - start
}

#[test]
fn parameters_that_are_none_or_of_no_use_are_refused_at_start() {
    let folder = Folder::new();
    let none = folder.file("none.json", "{}").display().to_string();
    let mut costly: Value = serde_json::from_str(ledger().protocol_parameters()).unwrap();
    costly["txFeePerByte"] = 1_000_000.into();
    let [largest, larger] = [1 << 20, (1 << 20) + 1].map(|bytes: usize| " ".repeat(bytes));
    let largest = folder.file("largest.json", largest).display().to_string();
    let larger = folder.file("larger.json", larger).display().to_string();
    let costly = folder.file("costly.json", costly.to_string()).display().to_string();
    for (ledger, file, why) in [
        ("cardano", none.as_str(), "none.json"),
        ("cardano", &costly, "txFeePerByte is 1000000, more than 4000"),
        ("cardano", &largest, "cannot use --ledger-protocol-parameters"),
        ("cardano", &larger, "more than 1048576 bytes"),
        ("cardano", "missing.json", "cannot read --ledger-protocol-parameters missing.json"),
        ("simple", &none, "the ledger simple has no --ledger-protocol-parameters"),
    ] {
        let more = ["--ledger", ledger, "--ledger-protocol-parameters", file];
        let output = folder.head(&[], &more).output().unwrap();
        assert_exit(&output, 2);
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
    let simple = folder.file("simple.json", "[1,2]").display().to_string();
    let output = folder.head(&[], &["--ledger", "cardano", "--initial-utxo", &simple]).output().unwrap();
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("--initial-utxo holds no outputs of the ledger"), "{}", stderr(&output));
}
