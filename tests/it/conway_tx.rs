//! Transactions of the Conway era, part by part: as they have to be, and as nobody's builder would make them.

use std::collections::BTreeMap;

use minicbor::Encoder;
use pallas_addresses::{Address, Network, ShelleyAddress, ShelleyDelegationPart, ShelleyPaymentPart};
use pallas_crypto::hash::Hasher;
use pallas_crypto::key::ed25519::SecretKey;
use pallas_txbuilder::{BuildConway, Input, Output, StagingTransaction};
use serde_json::{Value, json};

/// What the wallet has in output `00…00#0`.
pub(crate) const LOVELACE: u64 = 10_000_000;

pub(crate) const POLICY: [u8; 28] = [7; 28];

/// A key, and an address that takes its signature.
pub(crate) struct Wallet {
    pub(crate) key: SecretKey,
    pub(crate) address: Address,
}

pub(crate) fn wallet(seed: u8, network: Network) -> Wallet {
    let key = SecretKey::from([seed; 32]);
    let payment = ShelleyPaymentPart::key_hash(Hasher::<224>::hash(key.public_key().as_ref()));
    let address = Address::Shelley(ShelleyAddress::new(network, payment, ShelleyDelegationPart::Null));
    Wallet { key, address }
}

pub(crate) fn alice() -> Wallet {
    wallet(1, Network::Testnet)
}

pub(crate) fn bob() -> Wallet {
    wallet(2, Network::Testnet)
}

/// Takes a script that nobody has.
pub(crate) fn script_address() -> String {
    let payment = ShelleyPaymentPart::script_hash([3; 28].into());
    ShelleyAddress::new(Network::Testnet, payment, ShelleyDelegationPart::Null).to_bech32().unwrap()
}

pub(crate) fn at(index: u64) -> String {
    format!("{}#{index}", "00".repeat(32))
}

/// CBOR of an item.
pub(crate) fn cbor(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Encoder::new(&mut bytes));
    bytes
}

pub(crate) fn number(number: u64) -> Vec<u8> {
    cbor(|cbor| drop(cbor.u64(number)))
}

pub(crate) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [cbor(|cbor| drop(cbor.array(items.len() as u64))), items.concat()].concat()
}

pub(crate) fn bytes(bytes: &[u8]) -> Vec<u8> {
    cbor(|cbor| drop(cbor.bytes(bytes)))
}

pub(crate) fn input(index: u64) -> Vec<u8> {
    list(&[bytes(&[0; 32]), number(index)])
}

pub(crate) fn output(to: &Address, value: Vec<u8>) -> Vec<u8> {
    members(&[(number(0), bytes(&to.to_vec())), (number(1), value)])
}

pub(crate) fn members(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let begin = cbor(|cbor| drop(cbor.map(pairs.len() as u64)));
    pairs.iter().fold(begin, |all, (key, value)| [all.as_slice(), key, value].concat())
}

pub(crate) fn tokens(lovelace: u64, names: &[(&[u8], u64)]) -> Vec<u8> {
    let names: Vec<_> = names.iter().map(|(name, amount)| (bytes(name), number(*amount))).collect();
    list(&[number(lovelace), members(&[(bytes(&POLICY), members(&names))])])
}

/// Members of a body that pays all of output 0 to Bob.
pub(crate) fn payment() -> BTreeMap<u64, Vec<u8>> {
    let to_bob = output(&bob().address, number(LOVELACE));
    BTreeMap::from([(0, list(&[input(0)])), (1, list(&[to_bob])), (2, number(0))])
}

pub(crate) fn with(changes: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut body = payment();
    body.extend(changes.iter().cloned());
    body_of(body)
}

pub(crate) fn body_of(parts: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Vec<u8> {
    let parts: Vec<_> = parts.into_iter().map(|(key, value)| (number(key), value)).collect();
    members(&parts)
}

/// A witness: key and signature.
pub(crate) fn witness(wallet: &Wallet, body: &[u8]) -> Vec<u8> {
    let signature = wallet.key.sign(Hasher::<256>::hash(body));
    list(&[bytes(wallet.key.public_key().as_ref()), bytes(signature.as_ref())])
}

pub(crate) fn signed(body: &[u8], wallets: &[&Wallet]) -> Vec<u8> {
    let witnesses: Vec<_> = wallets.iter().map(|wallet| witness(wallet, body)).collect();
    with_witnesses(body, &[(0, list(&witnesses))])
}

pub(crate) fn with_witnesses(body: &[u8], witnesses: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let end = cbor(|cbor| drop(cbor.bool(true).unwrap().null()));
    [vec![0x84], body.to_vec(), body_of(witnesses.iter().cloned()), end].concat()
}

pub(crate) fn envelope(bytes: &[u8]) -> Value {
    json!({ "cborHex": hex::encode(bytes), "description": "", "type": "Witnessed Tx ConwayEra" })
}

/// A payment of output 0 to Bob and the rest to Alice, as a library that others wrote builds and signs it.
pub(crate) fn built_by_others() -> Vec<u8> {
    let alice = alice();
    StagingTransaction::new()
        .input(Input::new([0; 32].into(), 0))
        .output(Output::new(bob().address, 4_000_000))
        .output(Output::new(alice.address.clone(), LOVELACE - 4_000_000))
        .fee(0)
        .network_id(0)
        .build_conway_raw()
        .unwrap()
        .sign(&alice.key)
        .unwrap()
        .tx_bytes
        .0
}
