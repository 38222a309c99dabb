"""A Virtuoso of one's own, on free loopback ports and a folder: for the tests and the benches."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

import httpx

_SETTINGS = """
[Database]
DatabaseFile={folder}/virtuoso.db
ErrorLogFile={folder}/virtuoso.log
LockFile={folder}/virtuoso.lck
TransactionFile={folder}/virtuoso.trx
xa_persistent_file={folder}/virtuoso.pxa
FileExtend=200
[TempDatabase]
DatabaseFile={folder}/virtuoso-temp.db
TransactionFile={folder}/virtuoso-temp.trx
[Parameters]
ServerPort=127.0.0.1:{port}
ServerThreads=20
DirsAllowed={folder}
NumberOfBuffers=10000
MaxDirtyBuffers=6000
[HTTPServer]
ServerPort=127.0.0.1:{http}
ServerThreads=10
[SPARQL]
ResultSetMaxRows=1000000
MaxQueryExecutionTime=60
"""


class VirtuosoProcess:
    """A ``virtuoso-t`` whose user ``dba`` has a password of its own before any port is open."""

    def __init__(self, folder: Path) -> None:
        self.user, self.password = "dba", "p" + secrets.token_hex(7)
        folder.mkdir(parents=True, exist_ok=True)
        port, http = _free(), _free()
        self.url = f"http://127.0.0.1:{http}"
        file = folder / "virtuoso.ini"
        file.write_text(_SETTINGS.format(folder=folder, port=port, http=http))
        self._command = ["virtuoso-t", "+configfile", str(file), "+foreground"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> VirtuosoProcess:
        """Make the database at the first time, serve, and wait until it answers."""
        if self._process is None:  # this run sets the password and ends
            given = ["+pwdold", "dba", "+pwddba", self.password, "+pwddav", self.password]
            subprocess.run([*self._command, *given], check=True, timeout=120, capture_output=True)
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not self._answers():
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError("virtuoso-t did not start: see virtuoso.log in its folder")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/sparql", params={"query": "ASK {}"}, trust_env=False).is_success
        except httpx.HTTPError:
            return False


def installed() -> bool:
    """Whether the program is there."""
    return shutil.which("virtuoso-t") is not None


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
