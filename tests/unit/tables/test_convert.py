"""Tables of every form into every form, in bounded memory."""

from __future__ import annotations

import gzip
import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, json, parquet

from events.errors import Reject
from events.types import FunctionRequested
from functions.tables.convert import convert
from functions.tables.rule import Rule, rule_of, target

ROWS = [{"a": 1, "b": "x;y"}, {"a": 2, "b": "ü\nz"}, {"a": 3, "b": ""}]


def request(key: str, format: str, **metadata: Any) -> FunctionRequested:
    return FunctionRequested(bucket="b", key=key, format=format, binding="binding/x", function="preprocess", metadata=metadata)


def written(tmp_path, form: str):
    path, table = tmp_path / f"in.{form}", pa.Table.from_pylist(ROWS)
    if form == "parquet":
        parquet.write_table(table, path)
    elif form == "csv":
        csv.write_csv(table, path)
    else:
        path.write_text('{"a":1,"b":"x;y"}\n{"a":2,"b":"ü\\nz"}\n{"a":3,"b":""}\n')
    return path


def read(path, form: str) -> list[dict[str, Any]]:
    if form == "parquet":
        return list(parquet.read_table(path).to_pylist())
    if form == "csv":
        return list(csv.read_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True)).to_pylist())
    return list(json.read_json(path, parse_options=json.ParseOptions()).to_pylist())


@pytest.mark.parametrize("into", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_every_form_becomes_every_other(tmp_path, form, into):
    out = tmp_path / "out"
    rule = rule_of({"convert": into, "rows": [["a", ">=", 2]], "columns": ["b", "a"], "target": "t/"})
    convert(rule, written(tmp_path, form), out, request(f"in.{form}", "" if form == "jsonl" else form))
    found = read(out, into)
    assert [list(row) for row in found] == [["b", "a"], ["b", "a"]]
    assert found == ROWS[1:]


def test_a_csv_is_read_as_the_catalogue_describes_it(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_bytes("1;ü\n2;x\n".encode("latin-1"))
    layout = {"delimiter": ";", "encoding": "latin-1", "header": False, "columns": [{"name": "n"}, {"name": "w"}]}
    convert(Rule(convert="parquet"), source, out, request("k", "csv", **layout))
    assert parquet.read_table(out).to_pylist() == [{"n": 1, "w": "ü"}, {"n": 2, "w": "x"}]
    convert(Rule(rows=[("n", "in", [2])], compress="gzip"), source, out, request("k", "csv", **layout))
    assert gzip.decompress(out.read_bytes()) == b'"n";"w"\n2;"x"\n'


@pytest.mark.parametrize(
    ("rule", "content"),
    [
        (Rule(columns=["c"]), b"a,b\n1,2\n"),
        (Rule(rows=[("c", "=", 1)]), b"a,b\n1,2\n"),
        (Rule(rows=[("a", "~", 1)]), b"a,b\n1,2\n"),
        (Rule(rows=[("a", "=", "x")]), b"a,b\n1,2\n"),
        (Rule(convert="parquet"), b"a,b\n1,2,3\n"),
        (Rule(convert="csv"), b""),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, rule, content):
    source = tmp_path / "in"
    source.write_bytes(content)
    with pytest.raises(Reject, match="the rule fails on k"):
        convert(rule, source, tmp_path / "out", request("k", "csv"))
    with pytest.raises(Reject, match="can only be compressed"):
        convert(rule, source, tmp_path / "out", request("k", "opaque"))


def test_where_a_result_lies_follows_from_rule_and_key():
    parquet_rule = Rule(convert="parquet", compress="gzip")
    assert target(parquet_rule, "b", "a/k.csv") == ("b", "a/k.parquet")
    assert target(Rule(convert="csv", compress="gzip", target="t/"), "b", "a/k") == ("b", "t/a/k.csv.gz")
    assert target(Rule(compress="zstd", target="s3://c/p/"), "b", "a/k.bin") == ("c", "p/a/k.bin.zst")
    for wrong in (Rule(convert="csv"), Rule(rows=[("a", "=", 1)]), Rule(convert="csv", target="s3:///x")):
        with pytest.raises(Reject):
            target(wrong, "b", "a.csv")


def test_memory_does_not_grow_with_the_table(tmp_path):
    source = tmp_path / "in.csv"
    with source.open("wb") as file:
        file.write(b"a,b,c\n")
        block = b"".join(b"%d,%f,some text that takes room\n" % (i, i / 7) for i in range(20_000))
        for _ in range(200):
            file.write(block)
    assert source.stat().st_size > 150_000_000
    code = f"""
import resource
from pathlib import Path
from tests.unit.tables.test_convert import request
from functions.tables.convert import convert
from functions.tables.rule import Rule
small = Path({str(tmp_path)!r}, "small")
small.write_bytes(b"a,b,c\\n" + b"1,2.5,x\\n" * 1000)
out = Path({str(tmp_path)!r}, "out")
rule = Rule(convert="parquet", rows=[("a", ">", 5)])
convert(rule, small, out, request("k", "csv"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
convert(rule, Path({str(source)!r}), out, request("k", "csv"))
status = {{line.split(":")[0]: line for line in open("/proc/self/status")}}
print((int(status["VmHWM"].split()[1]) - int(status["RssFile"].split()[1]) - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 120, "MB more than for a small table, without what the page cache lends"
