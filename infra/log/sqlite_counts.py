"""What the event log in SQLite counts, for people, for metrics and for back-pressure."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection

from infra.delivery.order import Lane

_COUNTS = """
    SELECT (SELECT count(*) FROM event) AS events, (SELECT count(*) FROM dead) AS dead,
           (SELECT count(*) FROM delivery) AS waiting, (SELECT count(*) FROM delivery WHERE attempts > 0) AS retrying,
           coalesce((SELECT max(0, ?1 - recorded) FROM event
                     WHERE seq = (SELECT min(seq) FROM delivery)), 0) AS oldest_s,
           coalesce((SELECT max(0, ?1 - e.recorded) FROM delivery d JOIN event e USING (seq)
                     WHERE d.attempts = 0 AND d.due <= ?1 AND coalesce(
                         (SELECT o.attempts = 0 FROM delivery o
                          WHERE o.target = d.target AND o.partition = d.partition AND o.seq < d.seq ORDER BY o.seq LIMIT 1),
                         (d.target, d.partition) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(?2)))
                     ORDER BY d.seq LIMIT 1), 0) AS behind_s
"""


def counts(connection: sqlite3.Connection, busy: Collection[Lane] = ()) -> dict[str, float]:
    """Events accepted, deliveries waiting and retrying, dead letters, and the age in seconds of the oldest delivery.

    ``behind_s`` is that of the oldest one that waits for the worker: how far behind it is. The first of a ``busy`` lane has
    started, however long it takes; one behind a delivery that is tried again waits for that, not for the worker.
    """
    row = connection.execute(_COUNTS, (time.time(), json.dumps(list(busy)))).fetchone()
    return dict(row)
