"""A decision in a few sentences, for people."""

from __future__ import annotations

from events.types import PlanRequested
from functions.planner.decide import Decision
from functions.planner.probe import probe_parts

WHY = {
    "time": "the fastest",
    "cost": "the cheapest",
    "balanced": "the best balance of time and cost",
}
DISCARDED = {"memory": "for want of memory", "deadline": "as too late", "beaten": "as both slower and dearer than others"}


def explain(request: PlanRequested, decision: Decision, basis: str, runs: int, slight: int = 0) -> str:
    """What was chosen, from what, and what stands against it; ``slight`` runs were over too little to tell anything."""
    choice = decision.choice
    what = f"{_count(choice.workers, 'worker')} of {choice.memory_mb} MB for {_count(choice.slices, 'slice')}"
    if decision.time is None or decision.peak is None:
        text = (
            f"{what}: nothing is known of {request.task!r} on such data yet{_slight(slight)}, "
            f"so the first wave will be measured ({_sizes(request, decision)}) and the rest planned anew."
        )
        if request.deadline_s is not None and decision.in_time:
            text += " Whether the deadline can be kept is not known before."
        elif request.deadline_s is not None:
            text += f" The deadline of {request.deadline_s:g} s cannot be kept by any task: so long it takes to begin."
        return text if decision.fits else f"{text} {_memory(choice.memory_mb)}"
    source = f"{_count(runs, 'earlier run')}" if basis == "profile" else "the waves of this map measured so far"
    time, why = decision.time, WHY.get(request.objective, f"the best by {request.objective}")
    text = (
        f"{what}: {why}, by {source}; about {time.value:.3g} s ({time.low:.3g} to {time.high:.3g}) "
        f"and {decision.peak.value:.0f} MB a worker."
    )
    if not decision.fits:
        text += f" {_memory(choice.memory_mb)}"
    if request.deadline_s is not None:
        text += f" {_deadline(request.deadline_s, decision)}"
    return f"{text}{_scaling(decision)}{_others(decision)}"


def _slight(runs: int) -> str:
    """That there are runs, and why they do not count."""
    return f" ({_count(runs, 'run')} over far less data cannot tell)" if runs else ""


def _sizes(request: PlanRequested, decision: Decision) -> str:
    """The slices of the first wave."""
    parts = probe_parts(min(decision.choice.workers, decision.choice.slices), fixed=bool(request.slices))
    return f"real slices, {_count(len(set(parts)), 'size')}"


def _scaling(decision: Decision) -> str:
    """More workers against larger ones."""
    out, up = decision.scale_out, decision.scale_up
    if out is None or up is None:
        return ""
    return (
        f" Scaling out ({out.workers} x {out.memory_mb} MB) would take {out.time_s:.3g} s at {out.cost:.2g}, "
        f"scaling up ({up.workers} x {up.memory_mb} MB) {up.time_s:.3g} s at {up.cost:.2g}."
    )


def _others(decision: Decision) -> str:
    """What was not chosen, and why."""
    told = ", ".join(f"{one.count} {DISCARDED[one.reason]}" for one in decision.discarded)
    return f" Discarded: {told}." if told else ""


def _deadline(deadline: float, decision: Decision) -> str:
    if decision.time is not None and decision.time.value > deadline:
        return f"The deadline of {deadline:g} s cannot be kept; this is the nearest."
    if not decision.in_time:
        return f"The deadline of {deadline:g} s cannot be kept for all that is known, only with luck; this is the nearest."
    if not decision.surely:
        return f"The deadline of {deadline:g} s is likely kept, but not sure to be."
    return f"The deadline of {deadline:g} s is kept."


def _memory(memory: int) -> str:
    return f"Even the smallest slices may need more than the {memory} MB of the largest worker."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
