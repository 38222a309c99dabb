"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from functions import FUNCTIONS
from functions.formats import FORMATS

ROOT = Path(__file__).parents[3]
LAYERS = ("events", "functions", "infra")
SOURCES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


TESTS = sorted((ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_are_about_one_noun_a_file_too(path):
    assert path.read_text().count("\n") <= 400, "a file of more than 400 lines is about more than one noun"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_one_noun_a_file_and_everything_public_is_documented(path):
    text = path.read_text()
    assert text.count("\n") <= 400, "a file of more than 400 lines is about more than one noun"
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the file does not say what it is for"
    missing = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert missing == []


def test_every_function_is_listed():
    files = {f"functions.{path.stem}" for path in (ROOT / "functions").glob("*.py") if path.stem != "__init__"}
    assert files == set(FUNCTIONS)


def test_every_format_is_listed_and_names_are_unique():
    names = [found.name for found in FORMATS]
    assert len(set(names)) == len(names)
    assert names[-1] == "opaque", "the one that takes everything comes last"
