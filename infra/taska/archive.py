"""A MeasurementSet, which is a folder, as one object: a zip without compression, so that ranges of it can be read."""

from __future__ import annotations

import zipfile
from pathlib import Path

MEDIA_TYPE = "application/x-measurementset+zip"


def pack(folder: Path, target: Path) -> Path:
    """Zip a MeasurementSet, the folder's own name in every path; the small files first, for they are read together."""
    files = sorted((file for file in folder.rglob("*") if file.is_file()), key=lambda file: ("_TSM" in file.name, file))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.write(file, file.relative_to(folder.parent))
    return target


def unpack(archive: Path, folder: Path) -> Path:
    """The MeasurementSet of such a zip, below ``folder``."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
        return folder / opened.namelist()[0].split("/")[0]
