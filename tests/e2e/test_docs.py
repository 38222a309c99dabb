"""The pages in docs/ are complete, and what they show as runnable runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from events.types import TYPES
from infra import cli
from infra.config import Config
from infra.runtime.api import Api
from tests.conftest import Sluice, need

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
RUNNABLE = re.compile(r"^```(bash|python) runnable\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def settings(kind: type[msgspec.Struct], prefix: str = "") -> dict[str, str]:
    """Each setting and its environment variable."""
    found: dict[str, str] = {}
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found |= settings(field.type, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = "SLUICE_" + (prefix + field.name).replace(".", "_").upper()
    return found


def test_every_setting_is_documented_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z_.0-9]+)` \| `(SLUICE_[A-Z_0-9]+)` \|", text("configuration.md"), re.MULTILINE)
    assert dict(rows) == settings(Config)
    assert len(rows) == len(dict(rows))


def test_every_command_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| `sluice ([a-z-]+)", text("reference.md"), re.MULTILINE)
    assert sorted(documented) == sorted([*cli.COMMANDS, *cli.GROUPS])


def test_every_route_is_documented_and_no_other() -> None:
    application = Api(SimpleNamespace(), lambda: True, "http://localhost").application()  # type: ignore[arg-type]
    routes: list[Any] = application.routes
    routes = [route for route in routes if route.methods]  # the others only tell which methods there are
    known = {f"{method} {route.path.replace(':path', '')}" for route in routes for method in route.methods - {"HEAD"}}
    known |= {"POST /", "POST /events"}  # the event endpoint stands before the API
    documented = set(re.findall(r"`((?:GET|POST|DELETE|PUT|PATCH) /[^` ]*)`", text("reference.md")))
    assert documented == known


def test_every_event_type_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| `(dev\.sluice\.[a-z.0-9]+)` \|", text("events.md"), re.MULTILINE)
    assert sorted(documented) == sorted(TYPES)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            file, _, anchor = link.partition("#")
            target = page.parent / file
            assert target.is_file(), link
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings], link


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"docs/{page.name}" not in readme] == []


def test_the_architecture_names_every_package() -> None:
    page = text("architecture.md")
    packages = [
        str(file.parent.relative_to(ROOT))
        for layer in ("events", "functions", "infra")
        for file in (ROOT / layer).rglob("__init__.py")
    ]
    packages = [name for name in packages if not name.startswith("infra/objects/")]  # the door is a room of objects/
    assert [name for name in packages if f"| `{name}/` |" not in page] == []


def test_pictures_are_well_formed() -> None:
    pictures = list(DOCS.glob("*.svg"))
    assert pictures
    for picture in pictures:
        ElementTree.parse(picture)


def run(page: str, sluice: Any, tmp_path: Path) -> str:
    """Run what a page shows as runnable, against a lake; what it printed."""
    blocks = RUNNABLE.findall(text(page))
    script = ["set -eo pipefail", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"]
    for number, (kind, block) in enumerate(blocks):
        if kind == "python":
            (tmp_path / f"block{number}.py").write_text(block)
            block = f"python block{number}.py\n"
        script.append(block)
    names = {name: value for name, value in os.environ.items() if not name.startswith(("SLUICE_", "LITHOPS_", "AWS_"))}
    environment = {**names, "SLUICE_DATA": str(sluice.folder), "TMPDIR": str(tmp_path)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_getting_started_runs_as_it_is_written(sluice: Any, tmp_path: Path) -> None:
    assert {kind for kind, _ in RUNNABLE.findall(text("getting-started.md"))} == {"bash", "python"}
    printed = run("getting-started.md", sluice, tmp_path)
    assert "csv" in printed
    assert "by 1 earlier run" in printed


def test_the_page_of_data_sets_runs_as_it_is_written(sluice: Any, tmp_path: Path) -> None:
    printed = run("datasets.md", sluice, tmp_path)
    assert "+ s3://lake/night2/bright.csv" in printed
    assert "dataset.completed" in printed


def test_the_page_of_bindings_runs_as_it_is_written(tmp_path: Path) -> None:
    (task,) = re.findall(r"^```python task\n(.*?)^```$", text("bindings.md"), re.MULTILINE | re.DOTALL)
    (setting,) = re.findall(r"^ +tasks: (.*)$", text("bindings.md"), re.MULTILINE)
    (tmp_path / "stars.py").write_text(task)
    sluice = Sluice(tmp_path / "data", PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]), SLUICE_TASKS=setting)
    try:
        printed = run("bindings.md", sluice.start(), tmp_path)
    finally:
        sluice.close()
    assert "s3://results/stars.csv.bright-00000.parquet" in printed
    assert "run_task" in printed
    assert "s3://raw/stars.csv" in printed


def test_the_page_of_staging_runs_as_it_is_written(sluice: Any, tmp_path: Path) -> None:
    printed = run("staging.md", sluice, tmp_path)
    assert sum(map(int, re.findall(r"\.parquet \((\d+) rows?, ", printed))) == 3
    (tables,) = [line for line in printed.splitlines() if ".csv (" in line and "staged" in line]
    key = tables.split()[0].removeprefix("s3://lake/")
    store = sluice.store()
    assert b'"g",2,5.365' in b"".join(store.stream("lake", key))
    store.close()


def test_the_catalogue_page_leads_from_an_empty_lake_to_a_live_subscription(sluice: Any, tmp_path: Path) -> None:
    printed = run("catalog.md", sluice, tmp_path)
    assert "night 12" in printed
    posted = [line.partition(" ") for line in (tmp_path / "posted.txt").read_text().splitlines()]
    told = [(kind, msgspec.json.decode(data)["key"]) for kind, _, data in posted]
    assert told == [("dev.sluice.dataset.member.added.v1", "orion.csv"), ("dev.sluice.dataset.member.removed.v1", "bright.csv")]
    assert [line.split()[2:] for line in (tmp_path / "watched.txt").read_text().splitlines()] == [
        ["+", "s3://lake/orion.csv"],
        ["-", "s3://lake/bright.csv"],
    ]


@pytest.mark.server
def test_the_radio_pipeline_page_runs_as_it_is_written(sluice: Any, tmp_path: Path) -> None:
    need("wsclean")
    printed = run("taska.md", sluice, tmp_path)
    assert re.search(r"^all: [\d.]+ of 90 s$", printed, re.MULTILINE)
    share = re.search(r"^rebin: \d+ bytes, [\d.]+ of ([\d.]+) s$", printed, re.MULTILINE)
    assert share
    assert 0 < float(share[1]) <= 30, "a third of what is left when the lake has started"
    assert "s3://lake/images/" in printed
    for step in ("rebin", "calibrate", "join", "image"):
        assert re.search(rf"[├└]── {step} ", printed), step
    assert "s3://lake/observation.ms.zip" in printed
    assert re.search(r"data-set/\S+ +images ", printed)
    volumes = [int(volume) for volume in re.findall(r"^  (\d+) bytes in [\d.]+ s$", printed, re.MULTILINE)]
    assert len(volumes) == 3
    assert volumes[0] > 4 * volumes[1]  # as the first run showed
