"""Filters by HTTP and from the command line: their languages, mistakes that point at the character, several at once, pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from infra import cli
from tests.unit.service.conftest import both_stores

pytestmark = both_stores
WRONG = {
    "cql2-text": ("rows > 5 AND bytes > 'x'", 22, "/args/1/args/1"),
    "cimi": ("rows > 5 and created > 2026-13-01", 24, "/args/1/args/1"),
    "cql2-json": (json.dumps({"op": ">", "args": [{"property": "bytes"}, "x"]}), 45, "/args/1"),
}


def wrong(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 400, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("lang", WRONG)
def test_a_search_that_means_nothing_is_told_where(service, lang: str) -> None:
    text, column, pointer = WRONG[lang]
    ann = service.as_("ann")
    for more in ({}, {"aggregation": "count:bytes", "limit": 0}):
        told = wrong(ann.get("/data-objects", params={"filter": text, "filter-lang": lang, **more}))
        assert (told["line"], told["column"], told["pointer"]) == (1, column, pointer), told
        assert told["error"].splitlines()[1:] == [f"  {text}", " " * (column + 1) + "^"]
    told = wrong(ann.get("/data-objects", params={"filter": ["rows = 1", text], "filter-lang": ["cql2-text", lang]}))
    assert (told["column"], told["pointer"]) == (column, pointer), "also where it is one of several"


def test_a_filter_in_no_language_at_all_is_told_where(service) -> None:
    ann = service.as_("ann")
    broken = {"cql2-text": ("rows >= ", 8), "cimi": ("a = 1 and\n or b", 5), "cql2-json": ('{"op": "=",\n "args": [1,,2]}', 13)}
    for lang, (text, column) in broken.items():
        told = wrong(ann.get("/data-objects", params={"filter": text, "filter-lang": lang}))
        assert (told["column"], told["line"]) == (column, 1 + text.count("\n")), told


@pytest.mark.parametrize("lang", WRONG)
def test_so_are_the_filters_of_data_sets_and_bindings(service, lang: str) -> None:
    text, column, pointer = WRONG[lang]
    ann = service.as_("ann")
    for noun, document in (
        ("data-sets", {"object-filter": text}),
        ("bindings", {"function": "preprocess", "parameters": {"convert": "csv"}, "filter": text}),
    ):
        told = wrong(ann.post(f"/{noun}", json={"name": "n", "filter-lang": lang, **document}))
        assert (told["column"], told["pointer"]) == (column, pointer), told
        assert told["error"].startswith("object-filter: " if noun == "data-sets" else "filter: ")
    made = ann.post("/data-sets", json={"name": "n", "object-filter": {"op": "=", "args": [{"property": "rows"}, 1]}}).json()
    told = wrong(
        ann.patch(f"/{made['id'].replace('data-set', 'data-sets')}", json={"object-filter": text, "filter-lang": lang})
    )
    assert told["pointer"] == pointer


def test_stored_filters_may_be_cimi(service) -> None:
    ann = service.as_("ann")
    made = ann.post("/data-sets", json={"name": "x", "record-filter": "name^='x' and kind=\"csv\"", "filter-lang": "cimi"})
    assert made.status_code == 201, made.text
    ann.post("/data-records", json={"name": "xy", "metadata": {"kind": "csv"}})
    ann.post("/data-records", json={"name": "xz", "metadata": {"kind": "fits"}})
    service.settle()
    path = f"/data-sets/{made.json()['id'].partition('/')[2]}"
    assert len(ann.get(f"{path}/members").json()["members"]) == 1
    assert ann.get(path).json()["filter-lang"] == "cimi"
    assert ann.patch(path, json={"filter-lang": None}).status_code == 400, "then it would be read as CQL2"
    assert ann.patch(path, json={"name": "y"}).status_code == 200
    bound = {"name": "b", "function": "preprocess", "parameters": {"convert": "csv"}, "filter": 'format="csv"'}
    assert ann.post("/bindings", json={**bound, "filter-lang": "cimi"}).status_code == 201
    assert "single quotes" not in wrong(ann.post("/bindings", json={**bound, "filter-lang": "sql"}))["error"]
    told = wrong(ann.post("/bindings", json=bound))
    assert "'csv'" in told["error"]
    assert told["column"] == 8


def test_several_filters_all_hold(service) -> None:
    ann = service.as_("ann")
    for rows in range(6):
        ann.post("/data-records", json={"name": f"r{rows}", "metadata": {"rows": rows}})

    def names(**query: Any) -> list[str]:
        answer = ann.get("/data-records", params={"select": "name", "orderby": "rows", **query})
        assert answer.status_code == 200, answer.text
        return [each["name"] for each in answer.json()["resources"]]

    assert names(filter=["rows > 1", "rows < 4"]) == ["r2", "r3"]
    assert names(filter=["rows > 1", "name^='r3'"], **{"filter-lang": ["cql2-text", "cimi"]}) == ["r3"]
    assert names(filter=["rows>1", "rows<4"], **{"filter-lang": "cimi"}) == ["r2", "r3"]
    assert "2 filter-lang" in wrong(ann.get("/data-records?filter=a=1&filter-lang=cimi&filter-lang=cimi"))["error"]


def test_orders_say_their_direction_in_both_ways(service) -> None:
    ann = service.as_("ann")
    for rows in (2, 1, 3):
        ann.post("/data-records", json={"name": f"r{rows}", "metadata": {"rows": rows}})

    def names(order: str) -> str:
        answer = ann.get("/data-records", params={"select": "name", "orderby": order})
        assert answer.status_code == 200, answer.text
        return "".join(each["name"][1] for each in answer.json()["resources"])

    assert (names("rows"), names("rows:asc"), names("+rows")) == ("123",) * 3
    assert (names("-rows"), names("rows:desc"), names("rows:DESC,name:asc")) == ("321",) * 3
    for garbage in ("name:down", "--name", "-name:asc", "-", ":desc", "name desc", 'a"b'):
        answer = ann.get("/data-records", params={"orderby": garbage})
        assert answer.status_code == 400, garbage


def test_pages_by_their_numbers(service) -> None:
    ann = service.as_("ann")
    for rows in range(7):
        ann.post("/data-records", json={"name": f"r{rows}", "metadata": {"rows": rows}})

    def page(**query: Any) -> tuple[str, str | None]:
        answer = ann.get("/data-records", params={"select": "name", "orderby": "rows", **query})
        assert answer.status_code == 200, answer.text
        return "".join(each["name"][1] for each in answer.json()["resources"]), answer.json()["next"]

    assert page(first=1, last=3)[0] == "012"
    assert page(first=3, last=5)[0] == "234"
    assert page(last=2)[0] == "01"
    assert page(first=6)[0] == "56"
    assert page(first=6, limit=1)[0] == "5"
    assert page(last=0) == ("", None)
    assert page(first=7, last=9) == ("6", None)
    shown, after = page(first=2, last=3)
    assert (shown, page(after=after, limit=2)[0]) == ("12", "34"), "behind it, pages go on as any other"
    for nonsense in (
        {"first": 5, "last": 2},
        {"last": 10_001},
        {"first": 1, "last": 2, "after": after},
        {"last": 3, "limit": 2},
    ):
        assert ann.get("/data-records", params=nonsense).status_code == 400, nonsense


def test_the_command_line_shows_the_caret(service, tmp_path: Path) -> None:
    config = tmp_path / "client.yaml"
    config.write_text("sluice: {}\n")

    def called(*words: str) -> Any:
        return CliRunner().invoke(cli.application(), [*words, "--config", str(config), "--url", service.url])

    text = "rows > 5 AND bytes > 'x'"
    rule = ["--function", "preprocess", "--rule", '{"convert": "csv"}']
    for words in (
        ["find", "--filter", text],
        ["find", "--filter", text, "--bucket", "b", "--prefix", "p%"],
        ["object", "list", "--filter", text],
        ["bind", "b", *rule, "--filter", text],
        ["set", "create", json.dumps({"object-filter": text})],
    ):
        done = called(*words)
        assert done.exit_code == 1, words
        assert done.stderr.splitlines()[1:] == [f"  {text}", " " * 23 + "^"], done.stderr
    assert called("bind", "b", *rule, "--filter", "key^='x'", "--lang", "cimi").exit_code == 0
    made = called("set", "create", json.dumps({"object-filter": "key^='x'"}), "--lang", "cimi")
    assert made.exit_code == 0, made.stderr
    assert called("set", "edit", made.stdout.strip(), '{"object-filter": "key^=\'y\'"}').exit_code == 0
    found = called("find", "--filter", "key^='x'", "--lang", "cimi", "--bucket", "b", "--json")
    assert (found.exit_code, json.loads(found.stdout)) == (0, {"entries": []})
