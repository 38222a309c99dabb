"""Which key a file gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.console.client import Complaint
from infra.console.objects import keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "b.csv").write_text("b")
    (tmp_path / "in" / "deep" / "a.csv").write_text("a")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("prefix", "key"), [("", "b.csv"), ("raw/", "raw/b.csv"), ("raw", "raw"), ("raw/other.csv", "raw/other.csv")]
)
def test_one_file_goes_to_the_key_or_below_the_prefix(folder: Path, prefix: str, key: str) -> None:
    file = folder / "in" / "b.csv"
    assert list(keys([file], prefix)) == [(file, key)]


def test_several_files_go_below_the_prefix(folder: Path) -> None:
    files = [folder / "in" / "b.csv", folder / "in" / "deep" / "a.csv"]
    assert [key for _, key in keys(files, "raw")] == ["raw/b.csv", "raw/a.csv"]


def test_what_is_in_a_folder_goes_below_the_prefix(folder: Path) -> None:
    assert [key for _, key in keys([folder / "in"], "raw")] == ["raw/b.csv", "raw/deep/a.csv"]


@pytest.mark.parametrize(("name", "told"), [("nothing.csv", "no file"), ("empty", "no files")])
def test_nothing_to_upload_is_told(folder: Path, name: str, told: str) -> None:
    with pytest.raises(Complaint, match=told):
        list(keys([folder / name], ""))


def test_two_files_of_one_key_are_told(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "b.csv").write_text("other")
    with pytest.raises(Complaint, match=r"raw/b\.csv"):
        list(keys([folder / "in" / "b.csv", folder / "other" / "b.csv"], "raw/"))
