"""Why something is known of a subject: proofs as documents, each with what was told at its leaves, and when."""

from __future__ import annotations

from typing import Any

from events.ports import NotFound
from functions.reasoning.proof import Proof
from functions.reasoning.terms import TYPE, Triple
from functions.semantics.terms import iri, short
from infra.catalog.database import Database
from infra.semantics.knowledge import Knowledge


def why(database: Database, knowledge: Knowledge, subject: str, kind: str, announced: list[str]) -> dict[str, Any]:
    """The proofs that a subject belongs to the class ``kind``, or else to the classes that are announced, or else to any.

    Raises:
        Reject: the subject or class is no IRI.
        NotFound: nothing is known of the subject, or it does not belong to the class.

    """
    database.one_by_one("facts")
    term = iri(subject)
    with knowledge.lock:
        knowledge.sync(database)
        reasoner = knowledge.reasoner
        if kind:
            classes = [iri(kind)]
        else:
            held = [name for name in sorted(knowledge.classes) if reasoner.holds((term, TYPE, name))]
            derived = [name for name in held if (term, TYPE, name) not in knowledge.sources]
            classes = [name for name in derived if name in announced] or derived or held
        proofs = [proof for name in classes if (proof := reasoner.why((term, TYPE, name))) is not None]
        if not proofs:
            raise NotFound(f"{short(term)} is no {kind}" if kind else f"nothing is known of {short(term)}")
        return {"subject": term, "proofs": [_document(proof, knowledge, set()) for proof in proofs]}


def _document(proof: Proof, knowledge: Knowledge, told: set[Triple]) -> dict[str, Any]:
    subject, predicate, value = proof.triple
    words = f"{short(subject)} {'is a' if predicate == TYPE else short(predicate)} {short(value)}"
    document: dict[str, Any] = {"fact": words, "triple": proof.triple, "rule": proof.rule, "axioms": proof.axioms}
    if proof.triple in told and proof.premises:
        return {**document, "again": True}
    told.add(proof.triple)
    if topics := knowledge.sources.get(proof.triple):
        document["told"] = [_told(knowledge, topic) for topic in topics]
    if proof.premises:
        document["premises"] = [_document(each, knowledge, told) for each in proof.premises]
    return document


def _told(knowledge: Knowledge, topic: str) -> dict[str, Any]:
    said = knowledge.topics[topic]
    return {"topic": topic, "since": said.order, "from": [value for _, _, value in said.evidence]}
