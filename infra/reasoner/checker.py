"""The ``OntologyChecker`` port: HermiT and Pellet in a process of their own, which ends when its time is up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import msgspec

from events.errors import Reject, Retry
from events.ports import Verdict
from events.types import Triple
from infra.reasoner import classify

#: How long both reasoners together may take. The built-in ontology needs 5 CPU seconds.
SECONDS = 300.0
_SUBCLASS = "<http://www.w3.org/2000/01/rdf-schema#subClassOf>"


class ReasonerProcess:
    """Asks in a new process each time: ontologies are rare, and Java takes memory."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def check(self, triples: Sequence[Triple]) -> Verdict:
        """Classify an ontology. Raises ``Reject`` where the reasoners are not installed, cannot read it, or take too long."""
        data = "".join(f"{s} {p} {o} .\n" for s, p, o in triples).encode()
        answer = self._ask(data)
        if "missing" in answer:
            raise Reject(f"ontologies cannot be checked here: {answer['missing']} is missing; pip install 'sluice[semantics]'")
        if "error" in answer:
            raise Reject(f"the reasoners cannot read the ontology: {answer['error']}")
        if answer["inconsistent"]:
            return Verdict(inconsistent=answer["inconsistent"])
        if answer["differ"]:
            raise Reject(f"HermiT and Pellet disagree on it: {'; '.join(answer['differ'][:10])}")
        inferred = [(f"<{below}>", _SUBCLASS, f"<{above}>") for below, above in answer["inferred"]]
        return Verdict(inferred=inferred, unsatisfiable=answer["unsatisfiable"])

    def _ask(self, data: bytes) -> dict[str, Any]:
        command = [sys.executable, "-P", classify.__file__]
        with (
            tempfile.TemporaryDirectory(prefix="sluice-reasoner-") as folder,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "TMPDIR": folder},
            ) as process,
        ):
            try:
                out, _ = process.communicate(data, timeout=self._seconds)
            except subprocess.TimeoutExpired as error:
                raise Reject(f"the reasoners did not come to an end within {self._seconds:g} s") from error
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)  # with the Java that it started
        try:
            answer: dict[str, Any] = msgspec.json.decode(out)
        except msgspec.DecodeError as error:
            raise Retry(f"the process of the reasoners ended without an answer (status {process.returncode})") from error
        return answer
