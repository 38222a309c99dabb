"""The store of triples that the configuration asks for."""

from __future__ import annotations

from pathlib import Path

from infra.config import Semantics
from infra.graph.oxigraph import OxigraphStore
from infra.graph.store import SparqlStore
from infra.graph.virtuoso import VirtuosoStore


def opened(settings: Semantics, folder: Path) -> SparqlStore:
    """Open it: embedded in ``folder``, or the Virtuoso at ``graph_url``."""
    if settings.graph_url:
        return VirtuosoStore(settings.graph_url, settings.graph_user, settings.graph_password)
    return OxigraphStore(folder)
