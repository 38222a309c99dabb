"""How to run a task over a data set: how many workers, how large, how many slices, and what that will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from events.errors import Reject
from events.event import Event
from events.ports import Catalog, Entry, ObjectStore, Profiles, Settings
from events.route import on
from events.types import PlannedObject, PlanReady, PlanRequested, Wave
from functions.planner.choice import check_deadline, weights
from functions.planner.coverage import Coverage
from functions.planner.dataset import cut, entries, share_out
from functions.planner.decide import Decision, Prices, decide
from functions.planner.explain import explain
from functions.planner.grid import Load, configurations
from functions.planner.history import find
from functions.planner.probe import probe_parts
from functions.planner.squares import prepare
from functions.planner.telling import telling


@on("dev.sluice.plan.requested.v1")
def plan(
    event: Event, data: PlanRequested, catalog: Catalog, profiles: Profiles, objects: ObjectStore, settings: Settings
) -> Iterator[Event]:
    """Plan from the task's profile, else from the waves the request brings, else say that nothing is known yet."""
    _check(data)
    found = entries(data, catalog)
    cuts = [cut(entry, objects, settings.bucket) for entry in found]
    format = _main_format(found)
    history = find(profiles, data.task, data.code, format, data.backend, data.image)
    load = _load(data, settings, cuts)
    known = history.waves if history else []
    learned = telling(known, load)
    slight = len(known) - len(learned)
    basis = "profile" if learned else "probe" if data.measured else "none"
    runs: list[list[Wave]] = [data.measured, *learned] if data.measured else learned
    prices = Prices(settings.price_per_gb_s, settings.price_per_request, data.before_cost)
    decision = decide(runs, load, prices, objective=data.objective, deadline=data.deadline_s)
    if decision.time is None:
        basis, learned = "none", []  # it has only failed so far
    if basis == "none":
        prepare()
    parts = share_out(found, cuts, decision.choice.slices)
    explanation = explain(data, decision, basis, len(learned), slight)
    yield event.reply(_ready(data, decision, parts, basis, len(learned), format, explanation))


def _check(data: PlanRequested) -> None:
    weights(data.objective)
    check_deadline(data.deadline_s)
    if min(data.workers, data.slices, data.memory_mb) < 0:
        raise Reject("workers, slices and memory_mb must not be negative; 0 leaves them to the planner")
    if not 0 <= data.done < 1:
        raise Reject(f"done must be the part of the data set already processed, from 0 to below 1, not {data.done}")


def _main_format(found: list[Entry]) -> str:
    """The format that holds most of the bytes: the task's behaviour hangs on it."""
    volume: Counter[str] = Counter()
    for entry in found:
        volume[entry.format] += entry.size + 1
    return volume.most_common(1)[0][0]


def _load(data: PlanRequested, settings: Settings, cuts: list[Coverage]) -> Load:
    """The configurations that the request leaves open, for the part of the data set that is left."""
    sizes = list(data.sizes or settings.workers)
    if not sizes:
        raise Reject("no worker size is configured: name some in sluice.planner.memory_mb, or in the request's sizes")
    if data.memory_mb:  # the size itself, or the nearest as if it had that memory
        nearest = min(sizes, key=lambda size: abs(size.memory_mb - data.memory_mb))
        sizes = [msgspec.structs.replace(nearest, memory_mb=data.memory_mb)]
    volume, units = sum(one.bytes for one in cuts), sum(one.units for one in cuts)
    objects = 1 if data.measured else len(cuts)
    return configurations(
        sizes,
        volume=max(1, int(volume * (1 - data.done))),
        units=max(1, int(units * (1 - data.done))),
        objects=objects,
        unit_bytes=max(one.largest for one in cuts),
        cores=settings.cores if data.cores is None else data.cores,
        workers=data.workers,
        slices=data.slices and min(max(data.slices, objects), units),
        before_s=data.before_s,
    )


def _ready(
    data: PlanRequested,
    decision: Decision,
    parts: list[PlannedObject],
    basis: str,
    runs: int,
    format: str,
    explanation: str,
) -> PlanReady:
    slices = decision.choice.slices if data.measured else sum(part.slices for part in parts)
    workers = min(decision.choice.workers, slices)
    return PlanReady(
        task=data.task,
        code=data.code,
        format=format,
        backend=data.backend,
        image=data.image,
        basis=basis,
        runs=runs,
        objective=data.objective,
        deadline_s=data.deadline_s,
        workers=workers,
        memory_mb=decision.choice.memory_mb,
        vcpus=decision.choice.vcpus,
        slices=slices,
        bytes=sum(part.size for part in parts),
        objects=parts,
        feasible=decision.fits and decision.in_time,
        sure=decision.fits and decision.surely,
        time_s=decision.time,
        cost=decision.cost,
        peak_mb=decision.peak,
        front=list(decision.front),
        probe=probe_parts(workers, fixed=bool(data.slices)) if basis == "none" else [],
        slices_per_worker=-(-slices // workers),
        discarded=list(decision.discarded),
        scale_out=decision.scale_out,
        scale_up=decision.scale_up,
        explanation=explanation,
    )
