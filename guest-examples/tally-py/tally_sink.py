"""Counts events by tag and prints the counts when it is closed: the sink `tally`, in Python."""

import sys
from collections import Counter

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import batch, handover, lifecycle
from wit_world.imports.types import Ack, Format, Hints, Manifest

counts: Counter[str] = Counter()


class EventSink(exports.EventSink):
    def put_event(self, event):
        counts[event.tag] += 1
        return Ack.ACCEPTED


class Batch(exports.Batch):
    def put_events(self, batch_of_events):
        for tag in batch_of_events.tag:
            counts[batch_of_events.tags[tag]] += 1
        return batch.Progress(taken=len(batch_of_events.ids), durable=0)


class Flush(exports.Flush):
    def flush(self):
        pass


# Version of the state that is handed over: a line for each tag, with its count. The same as the Rust sink's.
STATE_VERSION = 1


class Handover(exports.Handover):
    def save(self):
        lines = "".join(f"{tag} {count}\n" for tag, count in sorted(counts.items()))
        return handover.Saved(version=STATE_VERSION, bytes=lines.encode())

    def restore(self, saved):
        if saved.version != STATE_VERSION:
            raise Err(handover.RestoreError_UnknownVersion(STATE_VERSION))
        try:
            lines = [line.rsplit(" ", 1) for line in saved.bytes.decode().splitlines()]
            restored = {tag: int(count) for tag, count in lines}
        except ValueError:
            raise Err(handover.RestoreError_Invalid("a line is not a tag and a count")) from None
        counts.clear()
        counts.update(restored)


class Lifecycle(exports.Lifecycle):
    def describe(self):
        return Manifest(
            name="tally-py",
            version="0.1.0",
            accepts=[Format(name="hydra.state-event", version=1)],
            writes=None,
            config_schema=None,
            tags=[],
            needs=[],
            hints=Hints(batch_events=None, batch_bytes=None, flush_ms=None),
            irreversible=False,
        )

    def open(self, info):
        # The counts are in memory only, so they have to begin at the beginning.
        return lifecycle.Opened_Beginning()

    def close(self, reason):
        for tag, count in sorted(counts.items()):
            print(f"{tag} {count}")
        sys.stdout.flush()
