"""Slices cut anew: some for a first wave that measures, and those left by then as it has shown how many there should be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from functions.formats import by_name
from functions.formats.format import Index, Slice
from functions.planner.coverage import volume
from infra.runtime.board import Board
from infra.runtime.dealing import split
from infra.runtime.journal import Place

#: Slices stay as they are where there should be less than so many times as many, or as few.
WORTH = 1.5


def probe(board: Board, sizes: Sequence[int], index: Callable[[Slice], Index]) -> list[Place]:
    """The slices to measure first, one for each of ``sizes`` (1 is a whole one, 4 a quarter): spread over the data.

    All where there are few.
    """
    whole = board.order
    if len(whole) <= len(sizes):
        return whole
    chosen: list[Place] = []
    for number, pieces in enumerate(sizes):
        place = whole[len(whole) * number // len(sizes)]
        part = board.parts[place]
        made = split(part, index(part), pieces) if pieces > 1 else []
        chosen.append(board.replace(place, made)[0] if len(made) > 1 else place)
    return chosen


def recut(board: Board, rest: Sequence[Place], wanted: int, index: Callable[[Slice], Index]) -> list[Place]:
    """The places of ``rest`` after cutting its slices into about ``wanted``: split where too large, merged where too small.

    Borders stay borders where a slice cannot be cut, and where the slices beside it are another worker's. ``index`` gives what
    a slice was cut by.
    """
    if wanted >= WORTH * len(rest):
        usual = sum(volume(board.parts[place]) for place in rest) / wanted
        return [made for place in rest for made in _split(board, place, usual, index)]
    if wanted * WORTH <= len(rest):
        return _merged(board, rest, round(len(rest) / max(wanted, 1)), index)
    return list(rest)


def _split(board: Board, place: Place, usual: float, index: Callable[[Slice], Index]) -> list[Place]:
    part = board.parts[place]
    pieces = round(volume(part) / usual)
    made = split(part, index(part), pieces) if pieces > 1 else [part]
    return board.replace(place, made) if len(made) > 1 else [place]


def _merged(board: Board, rest: Sequence[Place], most: int, index: Callable[[Slice], Index]) -> list[Place]:
    """Neighbours as one, up to so many: the longest runs first, of what is left shorter ones."""
    found = sorted(rest)
    cuts = {board.parts[place].of for place in found}
    for together in range(min(most, max(cuts, default=0)), 1, -1):
        if any(of % together == 0 for of in cuts):
            found = _runs(board, found, together, index)
    return found


def _runs(board: Board, rest: Sequence[Place], together: int, index: Callable[[Slice], Index]) -> list[Place]:
    """Every run of exactly so many neighbours as one, where a coarser cutting has its borders."""
    coarse: dict[tuple[str, str, int], list[Slice]] = {}
    found: list[Place] = []

    def run(place: Place) -> tuple[str, str, int, int]:
        part = board.parts[place]
        return part.bucket, part.key, part.of, part.number // together

    for (bucket, key, of, number), members in groupby(rest, run):
        places = list(members)
        if of % together or len(places) < together:
            found += places
            continue
        parts = [board.parts[place] for place in places]
        if (bucket, key, of) not in coarse:
            coarse[bucket, key, of] = by_name(parts[0].format).slices(
                index(parts[0]), of // together, bucket=bucket, key=key, index_at=parts[0].index
            )
        cut = coarse[bucket, key, of]
        if len(cut) == of // together and _same(cut[number], parts):
            found.append(board.merge(places, cut[number]))
        else:  # a format whose borders hang on how many there are
            found += places
    return found


def _same(whole: Slice, parts: Sequence[Slice]) -> bool:
    """Whether a slice holds what these hold that lie one after the other: as much, from the first byte to the last."""

    def ends(slices: Sequence[Slice]) -> tuple[int, int]:
        places = [place for one in slices for place in one.ranges]
        return min((start for start, _ in places), default=0), max((end for _, end in places), default=0)

    return whole.units == sum(part.units for part in parts) and ends([whole]) == ends(parts)
