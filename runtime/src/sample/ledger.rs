//! Outputs, UTxO sets and transactions of the sample's ledger: real Conway transactions, apart from their random signatures.

use std::collections::BTreeMap;
use std::rc::Rc;

use bech32::{Bech32, Hrp};
use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use minicbor::Encoder;
use minicbor::data::Tag;
use rand_pcg::Pcg64Mcg;

use super::random::{between, random_bytes};
use crate::json_text::{list, members_into, object, quoted};

/// Someone who owns outputs.
pub(super) struct Wallet {
    address: String,
    address_bytes: [u8; 29],
    key: [u8; 32],
}

impl Wallet {
    pub(super) fn random(rng: &mut Pcg64Mcg) -> Self {
        let mut address_bytes = random_bytes::<29>(rng);
        // An enterprise address with a key, on a test network.
        address_bytes[0] = 0x60;
        let address = bech32::encode::<Bech32>(Hrp::parse_unchecked("addr_test"), &address_bytes).unwrap_or_default();
        Self { address, address_bytes, key: random_bytes(rng) }
    }
}

/// An output that was not spent.
#[derive(Clone)]
pub(super) struct Output {
    owner: usize,
    lovelace: u64,
    json: Rc<str>,
}

impl Output {
    pub(super) fn new(wallets: &[Wallet], owner: usize, lovelace: u64) -> Self {
        let address = wallets.get(owner).map(|wallet| wallet.address.as_str()).unwrap_or_default();
        let json = object([
            ("address", quoted(address).as_str()),
            ("datum", "null"),
            ("datumhash", "null"),
            ("inlineDatum", "null"),
            ("inlineDatumRaw", "null"),
            ("referenceScript", "null"),
            ("value", &format!("{{\"lovelace\":{lovelace}}}")),
        ]);
        Self { owner, lovelace, json: json.into() }
    }
}

/// Outputs by their reference, `<txid>#<index>`, in the order of the references.
#[derive(Clone, Default)]
pub(super) struct Utxo(BTreeMap<Rc<str>, Output>);

impl Utxo {
    pub(super) fn insert(&mut self, tx_id: &str, index: usize, output: Output) {
        self.0.insert(format!("{tx_id}#{index}").into(), output);
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.iter().map(|(reference, output)| (Rc::clone(reference), output.clone())));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn json(&self) -> String {
        let mut text = String::with_capacity(2 + self.0.len() * 400);
        text.push('{');
        members_into(&mut text, self.0.iter().map(|(reference, output)| (&**reference, &*output.json)));
        text.push('}');
        text
    }
}

/// A transaction.
#[derive(Clone)]
pub(super) struct Transaction {
    pub(super) id: Rc<str>,
    pub(super) json: Rc<str>,
    spends: Vec<Rc<str>>,
    makes: Vec<Output>,
}

/// Outputs kept in the set on average: below it a transaction makes more than it spends.
const USUAL_OUTPUTS: usize = 3;

/// Less than this is not worth splitting off, in lovelace.
const SMALLEST: u64 = 2_000_000;

impl Transaction {
    /// A transaction that spends one or two outputs of the set; none if it is empty.
    pub(super) fn random(rng: &mut Pcg64Mcg, wallets: &[Wallet], utxo: &Utxo) -> Option<Self> {
        let inputs = if utxo.len() > USUAL_OUTPUTS { 2 } else { 1 };
        let start = between(rng, 0, utxo.0.len().checked_sub(1)? as u64) as usize;
        let spent: Vec<(&Rc<str>, &Output)> =
            utxo.0.iter().cycle().skip(start).take(inputs.min(utxo.0.len())).collect();
        let total: u64 = spent.iter().map(|(_, output)| output.lovelace).sum();
        let payer = spent.first()?.1.owner;
        let payee = between(rng, 0, wallets.len() as u64 - 1) as usize;
        let mut makes = Vec::new();
        let splits = utxo.len() <= USUAL_OUTPUTS && total >= 2 * SMALLEST;
        let paid = if splits { between(rng, SMALLEST, total - SMALLEST) } else { total };
        makes.push(Output::new(wallets, payee, paid));
        if splits {
            makes.push(Output::new(wallets, payer, total - paid));
        }
        let spends: Vec<Rc<str>> = spent.into_iter().map(|(reference, _)| Rc::clone(reference)).collect();
        Some(Self::build(rng, wallets, payer, spends, makes))
    }

    /// A transaction that spends nothing of ours: someone's deposit on layer 1.
    pub(super) fn funding(rng: &mut Pcg64Mcg, wallets: &[Wallet], owner: usize, amounts: &[u64]) -> Self {
        let spends = vec![format!("{}#0", hex::encode(random_bytes::<32>(rng))).into()];
        let makes = amounts.iter().map(|lovelace| Output::new(wallets, owner, *lovelace)).collect();
        Self::build(rng, wallets, owner, spends, makes)
    }

    fn build(rng: &mut Pcg64Mcg, wallets: &[Wallet], signer: usize, spends: Vec<Rc<str>>, makes: Vec<Output>) -> Self {
        let body = body(wallets, &spends, &makes).unwrap_or_default();
        let id = hex::encode(Blake2b::<U32>::digest(&body));
        let key = wallets.get(signer).map(|wallet| wallet.key).unwrap_or_default();
        let cbor = whole(&body, &key, &random_bytes::<64>(rng)).unwrap_or_default();
        let json = object([
            ("cborHex", quoted(&hex::encode(&cbor)).as_str()),
            ("description", "\"\""),
            ("txId", &quoted(&id)),
            ("type", "\"Tx ConwayEra\""),
        ]);
        Self { id: id.into(), json: json.into(), spends, makes }
    }

    /// What the transaction makes, as a set.
    pub(super) fn outputs(&self) -> Utxo {
        let mut utxo = Utxo::default();
        for (index, output) in self.makes.iter().enumerate() {
            utxo.insert(&self.id, index, output.clone());
        }
        utxo
    }

    /// Spends and makes.
    pub(super) fn apply(&self, utxo: &mut Utxo) {
        for reference in &self.spends {
            utxo.0.remove(reference);
        }
        utxo.extend(&self.outputs());
    }
}

/// JSON of several transactions.
pub(super) fn transactions_json(transactions: &[Transaction]) -> String {
    list(transactions.iter().map(|transaction| &*transaction.json))
}

/// JSON of their ids.
pub(super) fn ids_json(transactions: &[Transaction]) -> String {
    let ids: Vec<String> = transactions.iter().map(|transaction| quoted(&transaction.id)).collect();
    list(ids.iter().map(String::as_str))
}

type Encoded = Result<Vec<u8>, minicbor::encode::Error<std::convert::Infallible>>;

/// CDDL `transaction_body`: inputs, outputs, fee.
fn body(wallets: &[Wallet], spends: &[Rc<str>], makes: &[Output]) -> Encoded {
    let mut cbor = Encoder::new(Vec::with_capacity(256));
    // A set of inputs bears tag 258.
    cbor.map(3)?.u8(0)?.tag(Tag::new(258))?.array(spends.len() as u64)?;
    for reference in spends {
        let (id, index) = reference.split_once('#').unwrap_or_default();
        cbor.array(2)?.bytes(&hex::decode(id).unwrap_or_default())?.u64(index.parse().unwrap_or_default())?;
    }
    cbor.u8(1)?.array(makes.len() as u64)?;
    for output in makes {
        let address = wallets.get(output.owner).map(|wallet| wallet.address_bytes).unwrap_or([0; 29]);
        cbor.map(2)?.u8(0)?.bytes(&address)?.u8(1)?.u64(output.lovelace)?;
    }
    cbor.u8(2)?.u64(0)?;
    Ok(cbor.into_writer())
}

/// CDDL `transaction`: body, one key witness, valid, no auxiliary data.
fn whole(body: &[u8], key: &[u8], signature: &[u8]) -> Encoded {
    let mut cbor = Encoder::new(Vec::with_capacity(512));
    cbor.array(4)?;
    cbor.writer_mut().extend_from_slice(body);
    cbor.map(1)?.u8(0)?.tag(Tag::new(258))?.array(1)?.array(2)?.bytes(key)?.bytes(signature)?;
    cbor.bool(true)?.null()?;
    Ok(cbor.into_writer())
}
