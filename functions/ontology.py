"""An ontology that is uploaded is read, classified and checked by description logic reasoners, before it is used."""

from __future__ import annotations

from collections.abc import Iterator

from events.errors import Reject
from events.event import Event
from events.ports import Changed, NotFound, ObjectStore, OntologyChecker, Settings
from events.route import on
from events.types import CatalogUpdated, OntologyChecked, OntologyRejected, Triple
from functions.ontologies.reading import SYNTAXES, parse

#: The largest ontology, in bytes.
MOST = 32 << 20


@on("dev.sluice.catalog.updated.v1")
def ontology(event: Event, objects: ObjectStore, checker: OntologyChecker, settings: Settings) -> Iterator[Event]:
    """Check what is uploaded below the configured prefix. A contradiction or a class nothing can be in is refused."""
    data = event.read(CatalogUpdated)
    bucket, _, prefix = settings.ontologies.removeprefix("s3://").partition("/")
    if data.change != "upserted" or data.bucket != bucket or not data.key.startswith(prefix):
        return
    if not data.key.lower().endswith(tuple(SYNTAXES)):
        return
    where = {"bucket": data.bucket, "key": data.key, "etag": data.etag}
    try:
        triples = _read(data, objects)
        verdict = checker.check(triples)
        if verdict.inconsistent:
            raise Reject(f"the ontology contradicts itself: {verdict.inconsistent}")
        if verdict.unsatisfiable:
            raise Reject(f"nothing can ever be in these classes: {', '.join(verdict.unsatisfiable)}")
    except Reject as error:
        yield event.reply(OntologyRejected(**where, cause=str(error)), subject=f"{data.bucket}/{data.key}")
    except (NotFound, Changed):
        return  # what took its place has an event of its own
    else:
        checked = OntologyChecked(**where, triples=triples, inferred=verdict.inferred)
        yield event.reply(checked, subject=f"{data.bucket}/{data.key}")


def _read(data: CatalogUpdated, objects: ObjectStore) -> list[Triple]:
    content = bytearray()
    for part in objects.stream(data.bucket, data.key, etag=data.etag):
        content += part
        if len(content) > MOST:
            raise Reject(f"the ontology is larger than {MOST} bytes")
    triples = parse(bytes(content), data.key)
    if not triples:
        raise Reject("the ontology says nothing")
    return triples
