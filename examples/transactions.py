"""Sends transactions to a head with the ledger `simple`: python3 transactions.py http://HOST:PORT [COUNT]

Each spends what the one before made. A transaction is answered once it is in a snapshot.
"""

import json
import sys
import time
import urllib.error
import urllib.request

PATIENCE = 30  # seconds that the head may take to start


def ask(url, body=None):
    """The JSON that the head answers; what it refuses is an answer too."""
    try:
        with urllib.request.urlopen(url, body and json.dumps(body).encode()) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        return json.load(refused)


def first_outputs(url):
    start = time.monotonic()
    while True:
        try:
            outputs = ask(url + "/snapshot/utxo")
            if isinstance(outputs, list):
                return outputs
        except urllib.error.URLError:
            pass
        if time.monotonic() - start > PATIENCE:
            sys.exit(f"no open head answers at {url}")
        time.sleep(0.1)


def main(url, count="5"):
    spends = max(first_outputs(url))
    for _ in range(int(count)):
        tx = {"id": spends, "inputs": [spends], "outputs": [spends + 1]}
        answer = ask(url + "/transaction", tx)
        if answer.get("tag") != "SubmitTxConfirmed":
            sys.exit(f"transaction {tx}: {answer}")
        spends += 1
    refused = ask(url + "/transaction", {"id": 0, "inputs": [-1], "outputs": []})
    print(f"{count} transactions are confirmed, in {ask(url + '/snapshot')['snapshot']['number']} snapshots;", end=" ")
    print("one that spends what is not there was refused:", refused["validationError"], flush=True)


main(*sys.argv[1:])
