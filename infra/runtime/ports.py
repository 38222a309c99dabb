"""The ports whose writes belong to the event at hand: how each is made over the log's unit of work."""

from __future__ import annotations

from events.bindings import Bindings
from events.claims import Claims
from events.models import Models
from events.ports import Catalog, DataSets, Facts, Ontologies, Profiles, Series
from infra.catalog.bindings import StoredBindings
from infra.catalog.claims import StoredClaims
from infra.catalog.entries import Entries
from infra.catalog.members import Members
from infra.catalog.set_index import SetIndex
from infra.config import Config
from infra.models.table import StoredModels
from infra.profiles.sqlite import SqliteProfiles
from infra.runtime.wiring import Scoped
from infra.semantics.facts import StoredFacts
from infra.semantics.knowledge import Knowledge
from infra.semantics.ontologies import StoredOntologies
from infra.series.pending import PendingSeries
from infra.series.retention import retention


def ports(config: Config, sets: SetIndex, knowledge: Knowledge) -> Scoped:
    """Port -> how to make it over a unit of the log (see ``Log.unit``)."""
    repositories, keep = config.models, retention(config.series)
    if not config.log.url:
        return {
            Claims: StoredClaims,
            Bindings: lambda database: StoredBindings(database, config.bucket),
            Catalog: Entries,
            DataSets: lambda database: Members(database, sets),
            Facts: lambda database: StoredFacts(database, knowledge),
            Profiles: lambda database: SqliteProfiles(database.connection),
            Models: lambda database: StoredModels(database, repositories),
            Ontologies: StoredOntologies,
            Series: lambda database: PendingSeries(database, keep),
        }
    from infra.profiles.redis import RedisProfiles  # the embedded profile does not wait for the clients of servers

    return {
        Claims: lambda unit: StoredClaims(unit.database),
        Bindings: lambda unit: StoredBindings(unit.database, config.bucket),
        Catalog: lambda unit: Entries(unit.database),
        DataSets: lambda unit: Members(unit.database, sets),
        Facts: lambda unit: StoredFacts(unit.database, knowledge),
        Models: lambda unit: StoredModels(unit.database, repositories),
        Ontologies: lambda unit: StoredOntologies(unit.database),
        Profiles: lambda unit: RedisProfiles(unit.documents),
        Series: lambda unit: PendingSeries(unit.database, keep),
    }
