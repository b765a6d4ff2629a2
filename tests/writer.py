"""Writes to a database as hydra-node does, for tests: a process of its own, which may run as another user.

usage: writer.py DATABASE FIRST-ID COUNT MILLISECONDS [ROTATE-AFTER]

Appends COUNT events from FIRST-ID on, one every so many milliseconds, and then waits for its standard input to be closed. With
ROTATE-AFTER it rotates after so many rows, keeping the database of before in old-state/.
"""

import os
import sqlite3
import sys
import time

path, first, count, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
rotate_after = int(sys.argv[5]) if len(sys.argv) > 5 else 0

db = sqlite3.connect(path, isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA synchronous = NORMAL")
db.execute("CREATE TABLE IF NOT EXISTS events (event_id INTEGER NOT NULL PRIMARY KEY, event_data BLOB NOT NULL)")
db.execute("PRAGMA user_version = 1")
rows = db.execute("SELECT count(*) FROM events").fetchone()[0]


def event(id, change):
    return ('{"eventId":%d,"stateChanged":%s,"time":"2026-06-01T00:00:%02d.5Z"}' % (id, change, id % 60)).encode()


def rotate(last):
    archive = os.path.join(os.path.dirname(path), "old-state", "hydra-%d.db" % last)
    os.makedirs(os.path.dirname(archive), exist_ok=True)
    db.execute("VACUUM INTO ?", (archive,))
    checkpoint = event(last, '{"state":{"contents":{"chainState":{}},"tag":"Idle"},"tag":"Checkpoint"}')
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM events")
    db.execute("INSERT INTO events VALUES (?, ?)", (last, checkpoint))
    db.execute("COMMIT")


print("ready", flush=True)
for id in range(first, first + count):
    db.execute("INSERT INTO events VALUES (?, ?)", (id, event(id, '{"chainSlot":%d,"tag":"TickObserved"}' % id)))
    rows += 1
    if rotate_after and rows > rotate_after:
        rotate(id)
        rows = 1
    time.sleep(pause / 1000)
print("done", flush=True)
sys.stdin.read()
db.close()
