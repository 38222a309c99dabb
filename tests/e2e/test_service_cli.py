"""The command line over the catalogue's resources: uploads without keys, records, sets, imports, API keys."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.test_cli import Caller, call

__all__ = ["call"]


def test_upload_find_and_download(call: Caller) -> None:
    made = call("object", "upload", "tables/numbers.csv", "s3://lake/raw/numbers.csv", "--name", "Numbers").strip()
    call.settle()
    found = call.json("object", "show", made)
    assert (found["state"], found["name"], found["metadata"]["rows"]) == ("READY", "Numbers", 1000)
    for arguments in (["--filter", "rows >= 1000"], ["--filter", "metadata/rows>=1000", "--lang", "cimi"]):
        assert [each["key"] for each in call.json("find", *arguments)["entries"]] == ["raw/numbers.csv"]
        assert [each["key"] for each in call.json("ls", "s3://lake/raw/", *arguments)["entries"]] == ["raw/numbers.csv"]
    assert call.json("ls", "s3://lake/other/", "--filter", "rows >= 1000")["entries"] == []
    assert "s3://lake/raw/numbers.csv" in call("find", "--filter", "name = 'Numbers'")
    call("object", "download", made, "copy.csv")
    assert (call.folder / "copy.csv").read_bytes() == (call.folder / "tables" / "numbers.csv").read_bytes()
    call("object", "edit", made, '{"tags": ["checked"]}')
    assert call.json("object", "list", "--filter", "A_CONTAINS(tags, ('checked'))")["resources"][0]["id"] == made
    call("object", "delete", made)
    call.settle()
    assert call.json("ls")["entries"] == []


def test_large_files_go_up_in_parts(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    (call.folder / "large.bin").write_bytes(b"0123456789abcdef" * (9 << 19))
    made = call("object", "upload", "large.bin", "s3://lake/large.bin").strip()
    call.settle()
    found = call.json("object", "show", made)
    assert (found["bytes"], found["state"]) == (9 << 23, "READY")
    assert found["etag"].endswith("-2")


def test_records_and_sets(call: Caller) -> None:
    (call.folder / "r.json").write_text(json.dumps({"name": "a", "metadata": {"rows": 3}}))
    made = call("record", "create", "@r.json").strip()
    call("record", "edit", made, '{"metadata": {"rows": 4}}')
    assert call.json("record", "list", "--filter", "rows = 4")["resources"][0]["id"] == made
    assert made in call("record", "list")
    call("set", "create", '{"name": "big", "record-filter": "rows > 3"}')
    assert [each["name"] for each in call.json("set", "list")["resources"]] == ["big"]
    call("record", "delete", made)
    call("record", "show", made, code=1)
    assert "there is no" in call.errors


def test_an_import_says_what_it_refused(call: Caller) -> None:
    (call.folder / "r.csv").write_text("name,tags,metadata.rows,metadata.site\na,x;y,1,\nb,,2,2b\n")
    assert call.json("catalog", "import", "r.csv") == {"read": 2, "stored": 2, "failed": 0, "errors": []}
    assert call.json("catalog", "import", "r.csv")["stored"] == 0
    found = {each["name"]: each for each in call.json("record", "list")["resources"]}
    assert (found["a"]["tags"], found["a"]["metadata"]) == (["x", "y"], {"rows": 1})
    assert found["b"]["metadata"] == {"rows": 2, "site": "2b"}
    (call.folder / "bad.jsonl").write_text('{"name": "c"}\n{"nmae": "d"}\n')
    call("catalog", "import", "bad.jsonl", code=1)
    assert "line 2" in call.errors
    call("catalog", "import", "nothing.csv", code=1)


def test_keys(call: Caller) -> None:
    call("key", "create", "ann", code=1)
    assert "admin" in call.errors
    token = call("key", "create", "boss", "--scope", "admin").strip()
    call("status", code=1)
    assert "asks who calls" in call.errors
    environment: dict[str, Any] = call.environment
    environment["SLUICE_HTTP_TOKEN"] = token
    ann = call.json("key", "create", "ann", "--scope", "read", "--principal", "user/ann", "--expires", "2999-01-01")
    assert token not in call("key", "list")
    environment["SLUICE_HTTP_TOKEN"] = ann["token"]
    call("record", "list")
    call("record", "create", "{}", code=1)
    assert "scope write" in call.errors
    environment["SLUICE_HTTP_TOKEN"] = token
    call("key", "revoke", ann["id"])
    environment["SLUICE_HTTP_TOKEN"] = ann["token"]
    call("record", "list", code=1)
    assert ann["token"] not in call.errors
