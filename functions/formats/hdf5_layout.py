"""What ``functions.formats.hdf5`` needs of a file, asked of h5py. Runs in a process apart, so it imports nothing of ours."""

from __future__ import annotations

from typing import Any

MOST = 10_000  # datasets told


def layout(opened: Any, wanted: str) -> dict[str, Any]:
    """The datasets of an HDF5 file, and where the bytes of one lie: the one called ``wanted``, or else the largest.

    ``bands`` has for each run of rows that one row of chunks holds the ranges of bytes that these chunks are.
    """
    import h5py

    with h5py.File(opened, "r") as file:
        found: dict[str, Any] = {}

        def visit(name: str, node: Any) -> None:
            if isinstance(node, h5py.Dataset) and len(found) < MOST:
                found[name] = {"shape": list(node.shape or ()), "dtype": str(node.dtype), "bytes": int(node.nbytes)}
                found[name] |= {"chunks": list(node.chunks)} if node.chunks else {}
                found[name] |= {"compression": str(node.compression)} if node.compression else {}

        file.visititems(visit)
        usable = [name for name, told in found.items() if told["shape"] and told["shape"][0]]
        name = wanted if wanted in found else max(usable, key=lambda name: found[name]["bytes"], default="")
        return {"datasets": found, "dataset": name, **(_rows(h5py, file[name]) if name in usable else {})}


def _rows(h5py: Any, dataset: Any) -> dict[str, Any]:
    told = {"rows": dataset.shape[0], "fields": list(dataset.dtype.names or ()), "height": 1, "bands": []}
    if dataset.is_virtual or dataset.external:
        return told | {"reason": "its numbers lie in other files"}
    filters = dataset.id.get_create_plist()
    for number in range(filters.get_nfilters()):
        code, _, _, title = filters.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            return told | {
                "reason": f"its chunks take the HDF5 filter {code} ({title.decode(errors='replace')}), which is missing"
            }
    if not dataset.chunks:
        offset = dataset.id.get_offset()  # none where the numbers lie in the header, or were never written
        return told | {"offset": -1 if offset is None else offset, "row": dataset.nbytes // dataset.shape[0]}
    height = dataset.chunks[0]
    bands: list[list[list[int]]] = [[] for _ in range(-(-dataset.shape[0] // height))]
    dataset.id.chunk_iter(
        lambda chunk: bands[chunk.chunk_offset[0] // height].append([chunk.byte_offset, chunk.byte_offset + chunk.size])
    )
    return told | {"height": height, "bands": [_joined(band) for band in bands]}


def _joined(ranges: list[list[int]]) -> list[list[int]]:
    """These ranges in order, neighbours as one."""
    joined: list[list[int]] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(end, joined[-1][1])
        else:
            joined.append([start, end])
    return joined
