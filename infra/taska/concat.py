"""Parts of an observation as one MeasurementSet again, in the order of time.

``join`` runs in the process of whoever runs a pipeline, casacore in one of its own.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from events.ports import ObjectStore
from events.types import ObjectDerived
from infra.runtime.derived import address, version
from infra.taska.archive import MEDIA_TYPE, pack, unpack
from infra.taska.programs import bound

#: The new table, then the parts.
JOIN = """
import sys
from casacore import tables
parts = sorted(sys.argv[2:], key=lambda part: float(tables.table(part, ack=False).getcell("TIME", 0)))
with tables.table(parts, ack=False) as together:
    together.copy(sys.argv[1], deep=True, valuecopy=True).close()
"""


def join(objects: ObjectStore, made: Sequence[ObjectDerived], to: str) -> list[ObjectDerived]:
    """Write the MeasurementSets that a stage made into one, below ``to``: their rows one behind the other.

    Returns one record for each part. Raises ``RuntimeError`` where casacore cannot.
    """
    name = _name([each.result.key for each in made])
    with tempfile.TemporaryDirectory(prefix="sluice-join-") as scratch:
        folder = Path(scratch)
        parts = []
        for number, each in enumerate(made):
            archive, inside = folder / f"{number}.zip", folder / str(number)
            with archive.open("wb") as file:
                for chunk in objects.stream(each.result.bucket, each.result.key, etag=each.result.etag):
                    file.write(chunk)
            parts.append(str(unpack(archive, inside)))
            archive.unlink()
        whole = folder / f"{name}.ms"
        command = bound([sys.executable, "-c", JOIN, str(whole), *parts])
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the parts of {name} cannot be joined: {done.stderr.strip()[-500:]}")
        bucket, prefix = address(to)
        archive = pack(whole, folder / f"{name}.ms.zip")
        result = version(objects.upload(bucket, prefix + archive.name, archive, content_type=MEDIA_TYPE, user={}))
    return [ObjectDerived(of=each.result, result=result, function="join") for each in made]


def _name(keys: list[str]) -> str:
    """The first part's own name, and a digest of where all are."""
    stem = re.sub(r"(-\d{5}-of-\d{5})*-[0-9a-f]{8}$", "", PurePosixPath(keys[0]).name.partition(".")[0])
    return f"{stem}-joined-{hashlib.blake2b(' '.join(keys).encode(), digest_size=4).hexdigest()}"
