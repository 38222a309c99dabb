"""Data sets as streams by HTTP: backfill, then live, from any cursor, for those who may view."""

from __future__ import annotations

import json
import threading
from typing import Any

from events.event import Event
from infra.runtime.quiet import Quiet
from tests.conftest import eventually


def put(service, *keys: str) -> None:
    service.objects.default.ensure("lake")
    for key in keys:
        service.objects.write("lake", key, b"a,b\n1,2\n")
        service.settle()


def defined(client, **more: Any) -> str:
    answer = client.post("/data-sets", json=more)
    assert answer.status_code == 201, answer.text
    return f"/data-sets/{answer.json()['id'].rpartition('/')[2]}"


def follow(client, path: str, after: int, count: int) -> list[dict[str, Any]]:
    with client.stream("GET", f"{path}/members", params={"after": after, "follow": "1"}) as answer:
        assert answer.status_code == 200
        found = []
        for line in answer.iter_lines():
            found.append(json.loads(line))
            if len(found) == count:
                break
        return found


def types(service, pattern: str) -> list[Event]:
    return [event for _, _, event in service.lake.log.tail(0, 1000, pattern)]


def test_backfill_and_live_are_one_stream_that_goes_on_where_it_stopped(service) -> None:
    admin = service.as_()
    put(service, "1.csv", "2.csv")
    path = defined(admin, **{"object-filter": "format = 'csv' AND rows = 1"})
    first = follow(admin, path, 0, 2)
    assert [(each["change"], each["key"]) for each in first] == [("added", "1.csv"), ("added", "2.csv")]
    got: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: got.extend(follow(admin, path, first[0]["cursor"], 3)))
    reader.start()
    put(service, "3.csv")
    service.objects.delete("lake", "1.csv")
    reader.join(20)
    assert [(each["change"], each["key"]) for each in got] == [("added", "2.csv"), ("added", "3.csv"), ("removed", "1.csv")]
    service.settle()
    told = types(service, "dev.sluice.dataset.member.*")
    assert [event.data["cursor"] for event in told] == [first[0]["cursor"], *(each["cursor"] for each in got)]
    now = admin.get(f"{path}/members").json()
    assert [each["key"] for each in now["members"]] == ["2.csv", "3.csv"]
    then = admin.get(f"{path}/members", params={"as-of": first[1]["cursor"]}).json()
    assert [each["key"] for each in then["members"]] == ["1.csv", "2.csv"]
    assert then == admin.get(f"{path}/members", params={"as-of": first[1]["at"]}).json()
    page = admin.get(f"{path}/members", params={"limit": 1}).json()
    assert (page["members"], page["next"]) == (now["members"][:1], now["members"][0]["cursor"])
    assert admin.get(f"{path}/members", params={"after": page["next"]}).json()["members"] == now["members"][1:]
    assert admin.get(f"{path}/members", params={"as-of": "soon"}).status_code == 400
    assert admin.get("/data-sets/none/members").status_code == 404


def test_nobody_learns_of_members_or_sets_that_a_list_denies(service) -> None:
    ann, bob = service.as_("ann"), service.as_("bob")
    put(service, "1.csv", "2.csv")
    path = defined(ann, **{"object-filter": "format = 'csv'", "acl": {"owners": ["user/ann"], "view": ["group/anyone"]}})
    assert len(follow(bob, path, 0, 2)) == 2
    service.settle()
    secret = service.as_("root", principals=("group/admin",)).get("/data-objects", params={"filter": "key = '1.csv'"}).json()
    id = secret["resources"][0]["id"].rpartition("/")[2]
    root = service.as_("root2", principals=("group/admin",))
    assert root.patch(f"/data-objects/{id}", json={"acl": {"owners": ["user/ann"], "view": None}}).status_code == 200
    assert [each["key"] for each in bob.get(f"{path}/members").json()["members"]] == ["2.csv"]
    service.settle()
    assert [each["key"] for each in bob.get(f"{path}/members").json()["members"]] == ["2.csv"]
    assert {each["key"] for each in follow(bob, path, 0, 1)} == {"2.csv"}
    assert [each["key"] for each in ann.get(f"{path}/members").json()["members"]] == ["2.csv", "1.csv"]
    own = defined(ann, **{"object-filter": "format = 'csv'"})
    assert bob.get(f"{own}/members").status_code == 404
    assert bob.get(f"{own}/members", params={"follow": "1"}).status_code == 404


def test_a_group_that_is_quiet_is_complete_once(service) -> None:
    admin = service.as_()
    put(service, "1.csv")
    defined(admin, **{"object-filter": "format = 'csv'", "complete": {"quiet-s": 0.05, "group-by": "rows"}})
    defined(admin, **{"object-filter": "format = 'csv'", "complete": {"quiet-s": 3600}})
    service.settle()
    quiet = Quiet(service.lake)
    eventually(quiet.sweep)
    assert quiet.sweep() == 0
    put(service, "2.csv")
    assert quiet.sweep() == 0
    told = types(service, "dev.sluice.dataset.completed.v1")
    assert [(event.data["reason"], event.data["group"], event.data["count"]) for event in told] == [("quiet", "1", 1)]


def test_a_group_is_told_of_once_whatever_is_repeated(service) -> None:
    admin = service.as_()
    defined(admin, **{"object-filter": "format = 'csv'", "complete": {"count": 2}})
    put(service, "1.csv", "2.csv", "3.csv")
    for event in types(service, "dev.sluice.catalog.updated.v1"):
        again = Event(id="again-" + event.id, source=event.source, type=event.type, data=event.data, subject=event.subject)
        service.lake.append([event, again]).result(10)
    service.settle()
    assert len(types(service, "dev.sluice.dataset.completed.v1")) == 1
    assert len(types(service, "dev.sluice.dataset.member.added.v1")) == 3
