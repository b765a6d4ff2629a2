#!/usr/bin/env bash
# `make run`: a head with its API and three sinks, and a small script of transactions. From a terminal it goes on until Ctrl-C.
set -euo pipefail
hydrant=target/debug/hydrant
demo=target/demo
api=${HYDRANT_API:-127.0.0.1:4001}
rm -rf "$demo" && mkdir -p "$demo"
echo '[1,2,3]' > "$demo/utxo.json"

"$hydrant" head --ledger simple --initial-utxo "$demo/utxo.json" --contestation-period 1 --api "$api" \
    --data-dir "$demo/data" --event-source "file://$demo/state" \
    --event-sink wasm:target/guests/printer.wasm --event-sink wasm:target/guests/tally.wasm \
    --event-sink "file://$demo/copy" &
head=$!
trap 'kill "$head" 2>/dev/null || true; wait "$head" 2>/dev/null || true' EXIT

python3 examples/transactions.py "http://$api"
cat <<EOF

A head is open, and each line above from 'printer' was written by a sandboxed WebAssembly component. Open or try:
  http://$api/head                        the state of the head
  http://$api/snapshot/utxo               what is in it
  ws://$api/?history=yes                  what hydra-node's clients see
  python3 examples/transactions.py http://$api 1000     some more transactions
  $hydrant status --data-dir $demo/data   what each sink is doing
  $hydrant log stats $demo/state          events by tag: the same counts as the sink 'tally'
  $hydrant run --once --event-source file://$demo/state --event-sink stdout: | head -3
  $hydrant --help                         everything else
EOF
if [ -t 0 ] && [ -t 1 ]; then
    echo "Ctrl-C stops the head."
    wait "$head"
fi
