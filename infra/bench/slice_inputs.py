"""The inputs of the slices benchmark: one large file a format, and what its plain library reads of the whole."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Kind = tuple[Path, Callable[[], Any], Callable[[list[Any]], Any]]


def table(rows: int) -> Any:
    """Numbers and text."""
    import pyarrow as pa

    rng = np.random.default_rng(5)
    names = np.array([f'station {number}, "{number % 7}"' for number in range(1000)])
    return pa.table(
        {
            "n": np.arange(rows),
            "x": rng.random(rows).round(9),
            "k": rng.integers(0, 10**9, rows),
            "t": names[np.arange(rows) % 1000],
        }
    )


def bases(size: int) -> bytes:
    """Random nucleotides."""
    return np.random.default_rng(6).choice(np.frombuffer(b"ACGT", "u1"), size).tobytes()


def files(folder: Path, megabytes: int) -> dict[str, Kind]:
    """By name: the file, the whole as its library reads it, and how opened slices make the whole."""
    import pyarrow as pa
    from pyarrow import csv, json, parquet

    size = megabytes * 1_000_000
    whole = table(size // 48)
    found: dict[str, Kind] = {}

    def tables(parts: list[Any]) -> Any:
        return pa.concat_tables(parts).combine_chunks()

    path = folder / "table.csv"
    csv.write_csv(whole, path)
    found["csv"] = path, lambda: csv.read_csv(folder / "table.csv").combine_chunks(), tables
    path = folder / "table.parquet"
    parquet.write_table(whole, path, row_group_size=whole.num_rows // 32)
    found["parquet"] = path, lambda: parquet.read_table(folder / "table.parquet").combine_chunks(), tables
    path = folder / "table.jsonl"
    whole.slice(0, whole.num_rows // 2).to_pandas().to_json(path, orient="records", lines=True)
    found["jsonlines"] = path, lambda: json.read_json(folder / "table.jsonl").combine_chunks(), tables
    numbers = np.random.default_rng(4).integers(0, 10**9, size // 40).tolist()
    text = b"".join(b"%d: %x of %d seen\n" % (number, value, value % 977) for number, value in enumerate(numbers))
    (folder / "lines.txt").write_bytes(text)
    found["text"] = folder / "lines.txt", (folder / "lines.txt").read_text, "".join
    (folder / "lines.txt.gz").write_bytes(gzip.compress(text, 6))
    found["gzip"] = folder / "lines.txt.gz", lambda: gzip.decompress((folder / "lines.txt.gz").read_bytes()).decode(), "".join
    found |= _sequences(folder, size)
    found |= _arrays(folder, size)
    return found


def _sequences(folder: Path, size: int) -> dict[str, Kind]:
    letters, number = bases(size // 2), size // 2 // 100
    reads = b"".join(b"@r%d\n%b\n+\n%b\n" % (n, letters[n * 100 : n * 100 + 100], b"I@+F" * 25) for n in range(number))
    (folder / "reads.fastq").write_bytes(reads)
    (folder / "reads.fastq.gz").write_bytes(gzip.compress(reads, 6))
    rows = [letters[at : at + 80] for at in range(0, len(letters), 80)]
    chunks = (b"\n".join(rows[at : at + 125]) for at in range(0, len(rows), 125))
    (folder / "genes.fasta").write_bytes(b"".join(b">g%d\n%b\n" % (n, chunk) for n, chunk in enumerate(chunks)))
    return {
        "fastq": (folder / "reads.fastq", (folder / "reads.fastq").read_text, "".join),
        "fastq.gz": (
            folder / "reads.fastq.gz",
            lambda: gzip.decompress((folder / "reads.fastq.gz").read_bytes()).decode(),
            "".join,
        ),
        "fasta": (folder / "genes.fasta", (folder / "genes.fasta").read_text, "".join),
    }


def _arrays(folder: Path, size: int) -> dict[str, Kind]:
    import h5py
    import laspy
    import zarr
    from astropy.io import fits

    side = int((size / 8) ** 0.5)
    array = np.random.default_rng(8).random((side, side))
    np.save(folder / "array.npy", array)
    with h5py.File(folder / "array.h5", "w") as file:
        file.create_dataset("a", data=array, chunks=(max(1, side // 64), side), compression="lzf", shuffle=True)
    zarr.create_array(folder / "array.zarr", shape=array.shape, chunks=(max(1, side // 64), side), dtype="f8")[:] = array
    with zipfile.ZipFile(folder / "array.zarr.zip", "w", zipfile.ZIP_STORED) as archive:
        for member in sorted((folder / "array.zarr").rglob("*")):
            if member.is_file():
                archive.write(member, member.relative_to(folder / "array.zarr"))
    fits.PrimaryHDU(array.astype("f4")).writeto(folder / "image.fits")
    found: dict[str, Kind] = {
        "fixed": (folder / "array.npy", lambda: np.load(folder / "array.npy"), np.concatenate),
        "hdf5": (folder / "array.h5", lambda: h5py.File(folder / "array.h5")["a"][:], np.concatenate),
        "zarr": (folder / "array.zarr.zip", lambda: zarr.open_array(folder / "array.zarr", mode="r")[:], np.concatenate),
        "fits": (folder / "image.fits", lambda: fits.getdata(folder / "image.fits"), np.concatenate),
    }
    cloud = laspy.create(point_format=6, file_version="1.4")
    cloud.x, cloud.y, cloud.z = np.random.default_rng(9).random((3, size // 30)) * 1000
    for name, packed in (("las", False), ("laz", True)):
        path = folder / f"points.{name}"
        cloud.write(path, do_compress=packed, laz_backend=laspy.LazBackend.Lazrs if packed else None)
        found[name] = (
            path,
            partial(_points, path),
            lambda parts: np.concatenate([points.array for points in parts]),
        )
    return found


def _points(path: Path) -> Any:
    import laspy

    return laspy.read(path).points.array


def same(one: Any, other: Any) -> bool:
    """Whether two wholes are equal."""
    if isinstance(one, np.ndarray):
        return one.shape == other.shape and bool((one == other).all())
    return bool(one.equals(other)) if hasattr(one, "equals") else bool(one == other)


def content(opened: Any) -> Any:
    """What an opened slice gives, to keep after it is closed."""
    if isinstance(opened, io.TextIOBase):
        return opened.read()
    return opened.data if hasattr(opened, "header") and hasattr(opened, "data") else opened
