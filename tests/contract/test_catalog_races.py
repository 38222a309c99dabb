"""Writers that race on one object: whatever the order, the store is where a plain model of the rules is."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from events.ports import Entry, NotFound, ObjectInfo
from infra.catalog.acl import SYSTEM, Acl, Caller
from infra.catalog.database import Database
from infra.catalog.entries import Entries
from infra.catalog.resources import DataObject, object_id
from infra.catalog.search import Search
from infra.catalog.store import Conflict, Store
from infra.postgres import PostgresWriter, connect

ANN = Caller(frozenset(("user/ann",)))
BEGINS = {
    "upload": ("NEW", "UPLOADING", "READY", "EXPIRED", "FAILED"), "ready": ("NEW", "UPLOADING", "READY"),
    "fail": ("NEW", "UPLOADING"), "expire": ("NEW", "UPLOADING"),
}  # fmt: skip
ETAGS = st.sampled_from("ef")
ENDS = {"upload": "UPLOADING", "ready": "READY", "fail": "FAILED", "expire": "EXPIRED"}


def machine(database: Database) -> type[RuleBasedStateMachine]:
    class Races(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.key = uuid.uuid4().hex
            self.id = object_id("races", self.key)
            self.state, self.sequence, self.name, self.revision, self.owner = "", "", "", 0, ""
            self.etag, self.kept, self.digest, self.pending = "", "", "", False
            self.seen = [0]

        @property
        def there(self) -> bool:
            return self.state not in ("", "REMOVED")

        def tried(self, work, *wrong) -> None:
            """``work`` succeeds, or fails with the only error that is right."""
            if wrong:
                with pytest.raises(wrong[0]):
                    work()
            else:
                work()
                self.revision += 1
                self.seen.append(self.revision)

        @rule(owner=st.sampled_from(["user/ann", "user/bob"]))
        def create(self, owner):
            made = DataObject(bucket="races", key=self.key, acl=Acl(owners=[owner]))
            self.tried(lambda: Store(database).create(made, SYSTEM), *([Conflict] if self.there else []))
            if not self.there:
                self.state, self.name, self.owner, self.etag, self.kept = "NEW", "", owner, "", ""
                self.digest, self.pending = "", False

        @rule(action=st.sampled_from(sorted(BEGINS)), etag=ETAGS)
        def act(self, action, etag):
            again = action == "ready" and self.state == "READY" and not self.pending
            wrong = (
                []
                if self.there and (self.state in BEGINS[action] or (self.state == "READY" and self.pending))
                else [Conflict if self.there else NotFound]
            )
            facts = {"ready": {"etag": etag}, "upload": {"expires": 1, "upload": "u"}}.get(action, {})
            self.tried(lambda: Store(database).transition(self.id, action, SYSTEM, cause=action, **facts), *wrong)
            if not wrong:
                if self.state != "READY" or action not in ("upload", "expire"):  # what is there can still be fetched
                    self.state = ENDS[action]
                if action == "ready" and not again:
                    self.digest = self.digest if etag == self.etag else ""
                    self.etag = etag
                self.pending = action == "upload"
                if again:
                    self.revision -= 1
                    self.seen.pop()

        @rule(sequence=st.sampled_from("123456"), state=st.sampled_from(["ready", "failed", "removed"]), etag=ETAGS)
        def notify(self, sequence, state, etag):
            """What was kept in its store when the catalogue forgot it does not come back by late word of it."""
            etag = "" if state == "removed" else etag
            digest = "b:1" if state == "ready" else ""
            told = Entry(bucket="races", key=self.key, sequence=sequence, state=state, etag=etag, digest=digest)
            done = Entries(database).upsert(told)
            forgotten = self.kept and state != "removed" and etag in (self.kept, self.etag)
            assert done == (self.state == "" or (sequence >= self.sequence and not forgotten))
            if done:
                again = self.state == "READY" and state == "ready" and self.digest and self.etag == etag
                self.etag, self.kept, self.digest, self.pending = etag, "", digest, self.pending and bool(again)
                if self.state == "":
                    self.owner = "group/admin"
                self.state, self.sequence = state.upper(), sequence
                self.revision += 1
                self.seen.append(self.revision)

        @rule(name=st.sampled_from("xyz"), back=st.integers(0, 3))
        def edit(self, name, back):
            named = self.seen[-1 - back] if back < len(self.seen) else 0
            wrong = [] if self.there and named == self.revision else [Conflict if self.there else NotFound]
            self.tried(lambda: Store(database).edit(self.id, {"name": name}, SYSTEM, f'"{named}"'), *wrong)
            if not wrong:
                self.name = name

        @rule(kept=st.one_of(st.just(""), ETAGS))
        def delete(self, kept):
            left = ObjectInfo(bucket="b", key="k", size=1, etag=kept) if kept else None
            self.tried(lambda: Store(database).delete(self.id, SYSTEM, kept=left), *([] if self.there else [NotFound]))
            if self.there:
                self.state, self.kept, self.pending = "REMOVED", kept, False

        @invariant()
        def same(self):
            filter = {"op": "=", "args": [{"property": "key"}, self.key]}
            shown = Store(database).search("data-object", Search(filter=filter), SYSTEM).items
            assert (
                Store(database).aggregate("data-object", Search(filter=filter), ANN)["count"]
                == int(self.there and self.owner in ("user/ann", "group/anyone"))
                or self.owner == "group/admin"
            )
            if not self.there:
                assert shown == []
                return
            (item,) = shown
            found: Any = Store(database).get(self.id, SYSTEM)
            assert (found.state, found.name, found.revision) == (self.state, self.name, self.revision)
            assert (item["state"], item["name"], item["revision"]) == (self.state, self.name, self.revision)
            assert (found.acl.owners, found.etag, found.digest) == ([self.owner], self.etag, self.digest)
            assert (found.upload, bool(found.expires)) == ("u" if self.pending else "", self.pending)

    return Races


def test_any_sequence_of_writers_leaves_what_the_model_says(database):
    run_state_machine_as_test(
        machine(database),
        settings=settings(max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)),
    )


@pytest.mark.server
def test_edits_at_the_same_time_are_all_told_apart(postgres, postgres_template):
    """Four writers count on one object, each on what it read: no count is lost, and who was too late is told so."""
    url = postgres.new(postgres_template)
    writers = [PostgresWriter(url) for _ in range(4)]
    first = writers[0].submit(lambda c: Store(Database(c)).create(DataObject(bucket="b", key="k", name="0"), SYSTEM)).result()
    done = [0] * 4

    def count(connection) -> None:
        store = Store(Database(connection))
        found = store.get(first.id, SYSTEM)
        store.edit(first.id, {"name": str(int(found.name) + 1)}, SYSTEM, f'"{found.revision}"')

    def work(i: int) -> None:
        while done[i] < 25:
            try:
                writers[i].submit(count).result()
                done[i] += 1
            except Conflict:
                pass

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for writer in writers:
        writer.close()
    with connect(url) as connection:
        found = Store(Database(connection)).get(first.id, SYSTEM)
    assert (found.name, found.revision) == ("100", 101)
