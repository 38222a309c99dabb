"""Our side of the serving benchmark: the server over a repository in a folder, as KServe's reads its model from one.

``sluice serve`` starts the same server; the command line and a client of S3 come on top of its start.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from infra.serving import start

start.quick()

import msgspec  # noqa: E402 - as sluice serve does

from events.ports import NotFound, ObjectInfo  # noqa: E402
from infra.config import Config, Serving  # noqa: E402
from infra.runtime.listen import listen  # noqa: E402
from infra.serving import server  # noqa: E402


class Folder:
    """As much of an object store as loading needs: the files below a folder, whatever the bucket."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, _: str, key: str, start: int, end: int, *, etag: str = "") -> bytes:
        try:
            return (self.root / key).read_bytes()[start:end]
        except FileNotFoundError as error:
            raise NotFound(key) from error

    def stream(self, bucket: str, key: str, *, etag: str = "") -> Iterator[bytes]:
        yield self.read(bucket, key, 0, sys.maxsize)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        found = sorted(str(file.relative_to(self.root)) for file in self.root.rglob("*") if file.is_file())
        return (ObjectInfo(bucket=bucket, key=key, size=0, etag="") for key in found if key.startswith(prefix))


def main() -> None:
    """Serve until SIGTERM."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    config = msgspec.structs.replace(Config(), data=str(folder.parent / "data"), serving=Serving(port=port))
    app = server.application(config, Folder(folder))  # type: ignore[arg-type]  # only what loading needs
    app.refresh()
    with listen(config.serving.host, port) as bound:
        server.serve(app, config, [bound])
