// The bridge of hydra-sdk against `hydrant head`: it connects, is greeted, submits and sees its transaction confirmed.
// The transactions are built and signed by Emurgo's serialization library, in which nothing of hydrant's is.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { HydraBridge } from "@hydra-sdk/bridge";
import { CardanoWASM as cardano } from "@hydra-sdk/cardano-wasm";
import WebSocket from "ws";

// The bridge is written for browsers.
globalThis.WebSocket = WebSocket;

const LOVELACE = 100_000_000;
const GENESIS = "00".repeat(32);

/** A key, and an address that takes its signature. */
function wallet() {
  const key = cardano.PrivateKey.generate_ed25519();
  const credential = cardano.Credential.from_keyhash(key.to_public().hash());
  const address = cardano.EnterpriseAddress.new(0, credential).to_address();
  return { key, address, bech32: address.to_bech32() };
}

/** A signed payment of all there is in one output. */
function payment(transactionId, index, from, to, lovelace) {
  const inputs = cardano.TransactionInputs.new();
  inputs.add(cardano.TransactionInput.new(cardano.TransactionHash.from_hex(transactionId), index));
  const outputs = cardano.TransactionOutputs.new();
  const value = cardano.Value.new(cardano.BigNum.from_str(String(lovelace)));
  outputs.add(cardano.TransactionOutput.new(to.address, value));
  const body = cardano.TransactionBody.new_tx_body(inputs, outputs, cardano.BigNum.from_str("0"));
  const unsigned = cardano.Transaction.new(body, cardano.TransactionWitnessSet.new(), undefined);
  const signed = cardano.FixedTransaction.from_bytes(unsigned.to_bytes());
  signed.sign_and_add_vkey_signature(from.key);
  const txId = signed.transaction_hash().to_hex();
  return { cborHex: signed.to_hex(), description: "", type: "Witnessed Tx ConwayEra", txId };
}

const folder = mkdtempSync(join(tmpdir(), "hydrant-clients-"));
const alice = wallet();
const bob = wallet();
let head;
let bridge;
let greetings;

before(async () => {
  const utxo = join(folder, "utxo.json");
  writeFileSync(utxo, JSON.stringify({ [`${GENESIS}#0`]: { address: alice.bech32, value: { lovelace: LOVELACE } } }));
  head = spawn(process.env.HYDRANT, [
    "head", "--ledger", "cardano", "--initial-utxo", utxo, "--api", "127.0.0.1:0",
    "--data-dir", join(folder, "data"), "--event-source", `file://${join(folder, "state")}`,
  ], { stdio: ["ignore", "ignore", "pipe"] });
  const said = [];
  const address = await new Promise((resolve, reject) => {
    head.once("exit", () => reject(new Error(`the head ended:\n${said.join("\n")}`)));
    createInterface({ input: head.stderr }).on("line", (line) => {
      said.push(line);
      const found = line.match(/API on http:\/\/(\S+)/);
      if (found) resolve(found[1]);
    });
  });
  while ((await (await fetch(`http://${address}/head`)).json()).tag !== "Open") await setTimeout(20);
  bridge = new HydraBridge({ url: `ws://${address}` });
  const greeted = new Promise((resolve) => {
    bridge.events.on("onMessage", (output) => output.tag === "Greetings" && resolve(output));
  });
  await bridge.connect();
  greetings = await greeted;
});

after(async () => {
  await bridge?.disconnect();
  head?.kill();
  rmSync(folder, { recursive: true });
});

test("it is greeted with an open head and knows what is in it", async () => {
  assert.equal(greetings.headStatus, "Open");
  assert.equal(greetings.hydraHeadId.slice(0, 16), Buffer.from("offline-").toString("hex"));
  assert.deepEqual(bridge.getAddressBalance(alice.bech32), new Map([["lovelace", BigInt(LOVELACE)]]));
  assert.deepEqual(await bridge.addressesInHead(), [alice.bech32]);
});

test("it reads the head and the protocol parameters", async () => {
  const info = await bridge.headInfo();
  assert.equal(info.headStatus, "Open");
  assert.equal(info.headId, greetings.hydraHeadId);
  assert.equal(info.vkey, greetings.me.vkey);
  const parameters = await bridge.getProtocolParameters();
  assert.deepEqual([parameters.minFeeA, parameters.minFeeB, parameters.coinsPerUtxoSize], [0, 0, 4310]);
});

test("it submits and sees its transactions confirmed, each on the one before", async () => {
  let [spent, index, from, to] = [GENESIS, 0, alice, bob];
  for (let round = 1; round <= 5; round += 1) {
    const tx = payment(spent, index, from, to, LOVELACE);
    const submitted = await bridge.submitTxSync(tx, { timeout: 20_000 });
    assert.deepEqual([submitted.isValid, submitted.isConfirmed, submitted.txId], [true, true, tx.txId]);
    assert.equal(submitted.result.snapshot.number, round);
    assert.deepEqual(bridge.getAddressBalance(to.bech32), new Map([["lovelace", BigInt(LOVELACE)]]));
    [spent, index, from, to] = [tx.txId, 0, to, from];
  }
  assert.deepEqual(Object.keys(await bridge.querySnapshotUtxo()), [`${spent}#0`]);
});

test("what is refused is told with its reason", async () => {
  const again = payment(GENESIS, 0, alice, bob, LOVELACE);
  await assert.rejects(bridge.submitTxSync(again, { timeout: 20_000 }), (error) => {
    assert.equal(error.tag, "TxInvalid");
    assert.match(error.reason, /#0 is not there/);
    return true;
  });
});

test("what a head without a chain cannot do is told as such", async () => {
  const failed = new Promise((resolve) => {
    bridge.events.on("onMessage", (output) => output.tag === "CommandFailed" && resolve(output));
  });
  bridge.commands.init();
  assert.equal((await failed).clientInput.tag, "Init");
});

test("a client that comes with history is told all of it", async () => {
  const later = new HydraBridge({ url: `ws://${new URL(bridge.connector._websocket.url).host}`, history: true });
  const outputs = [];
  const greeted = new Promise((resolve) => {
    later.events.on("onMessage", (output) => {
      outputs.push(output.tag);
      if (output.tag === "Greetings") resolve();
    });
  });
  await later.connect();
  await greeted;
  await later.disconnect();
  assert.equal(outputs.filter((tag) => tag === "TxValid").length, 5);
  assert.equal(outputs.filter((tag) => tag === "SnapshotConfirmed").length, 5);
  assert.equal(outputs.filter((tag) => tag === "TxInvalid").length, 1);
});
