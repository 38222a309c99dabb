"""Order: what stays in its order, where, and which of two changes is the newer one.

Deliveries of one *lane* - a target and a partition, which for a change of an object is the object - are worked on one after the
other. A lane lies in one *shard*, and a shard belongs to one worker at a time. That keeps the order in which events were
accepted; stores tell them in any. So a change also has a ``sequence`` (each store's own, see ``events/s3/stores.py``), which
compares as text among the changes of one object, and what an older one would write over a newer one's effect is dropped
(``infra/catalog``).
"""

from __future__ import annotations

from zlib import crc32

#: How many shards there are, for ever: an event's would change with it.
SHARDS = 64
#: What must stay in order: the target and the event's partition.
Lane = tuple[str, str]


def shard_of(partition: str) -> int:
    """The shard of a partition key: stable for ever, unlike ``hash``."""
    return crc32(partition.encode("utf-8", "surrogatepass")) % SHARDS


def successor(sequence: str) -> str:
    """The least sequence after ``sequence``: a change that is known to be later, but not by how much."""
    try:
        following = f"{int(sequence, 16) + 1:0{len(sequence)}X}"
    except ValueError:
        return sequence and sequence + "0"
    return following if len(following) == len(sequence) else sequence + "0"
