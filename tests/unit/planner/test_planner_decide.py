"""Decisions on synthetic tasks whose truth is known: regret, deadlines, memory, uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from events.errors import Reject
from events.types import Choice, Wave, WorkerSize
from functions.planner.choice import choose, weights
from functions.planner.decide import Prices, decide
from functions.planner.grid import EACH, LARGE, MOST, USUAL, Load, Vector, configurations, ladder, load_of
from functions.planner.model import learn
from functions.planner.phases import SLICE_S, measured_phases

PRICES = Prices(1.6667e-5, 2e-7)
SIZES = (512, 1024, 1769, 3538, 7076)
LAMBDA = [WorkerSize(memory_mb=mb, vcpus=mb / 1769, max_workers=500) for mb in SIZES]
CLUSTER = [WorkerSize(memory_mb=mb, vcpus=1, max_workers=64) for mb in (512, 1024, 2048, 4096)]


@dataclass
class Task:
    """A task that takes exactly this long, but for its noise. Seconds a GB; memory is a line over the slice in MB."""

    start: float = 1.0
    read: float = 5.0
    compute: float = 20.0
    bandwidth: float = np.inf
    per_slice: float = 0.0
    memory: tuple[float, float] = (60.0, 2.0)
    noise: float = 0.1

    def phases(self, load: Load) -> tuple[Vector, Vector]:
        volume, cores = load.bytes / 1e9, np.minimum(load.vcpus, 1)
        read = volume * np.maximum(self.read, load.workers / self.bandwidth)
        crowded = np.maximum(load.workers * cores / load.cores, 1)
        return read, volume * self.compute / cores * crowded + self.per_slice * load.slices

    def time(self, load: Load) -> Vector:
        read, compute = self.phases(load)
        return self.start + (read + compute) * np.ceil(load.slices / load.workers) / load.slices

    def cost(self, load: Load) -> Vector:
        read, compute = self.phases(load)
        paid = (self.start * load.workers + read + compute) * load.memory_mb / 1000
        return paid * PRICES.gb_s + load.workers * PRICES.request

    def fits(self, load: Load) -> NDArray[np.bool_]:
        enough: NDArray[np.bool_] = self.memory[0] + self.memory[1] * load.slice_bytes / 1e6 <= load.memory_mb
        return enough

    def run(self, load: Load, choice: Choice, random: np.random.Generator) -> Wave:
        one = load[np.array([place(load, choice)])]
        read, compute = self.phases(one)
        luck = float(np.exp(random.normal(0, self.noise)))
        return Wave(
            workers=choice.workers,
            slices=choice.slices,
            bytes=int(one.bytes[0]),
            seconds=float(self.time(one)[0]) * luck,
            memory_mb=choice.memory_mb,
            vcpus=choice.vcpus,
            cores=0.0 if np.isinf(one.cores[0]) else float(one.cores[0]),
            start_s=self.start,
            read_s=float(read[0]) * luck,
            compute_s=float(compute[0]) * luck,
            slice_bytes=int(one.slice_bytes[0]),
            peak_mb=float(self.memory[0] + self.memory[1] * one.slice_bytes[0] / 1e6),
            base_mb=self.memory[0],
        )


def place(load: Load, choice: Choice) -> int:
    same = (load.workers == choice.workers) & (load.memory_mb == choice.memory_mb) & (load.slices == choice.slices)
    return int(np.flatnonzero(same)[0])


def grid(sizes: list[WorkerSize], gigabytes: float, cores: float = 0.0) -> Load:
    return configurations(sizes, volume=int(gigabytes * 1e9), units=4096, cores=cores)


def experience(task: Task, sizes: list[WorkerSize], random: np.random.Generator, runs: int, cores: float) -> list[list[Wave]]:
    """The runs of a user who follows the plans over data sets of growing size; the first run begins with a probe."""
    history: list[list[Wave]] = []
    for number in range(runs):
        load = grid(sizes, 0.5 * (1 + number % 3), cores)
        choice = decide(history, load, PRICES).choice
        if not history:
            size = WorkerSize(memory_mb=choice.memory_mb, vcpus=choice.vcpus, max_workers=2)
            part = configurations([size], volume=int(2 * load.bytes[0] / choice.slices), units=2, cores=cores)
            probe = task.run(part, Choice(**{**msgspec.structs.asdict(choice), "workers": 2, "slices": 2}), random)
            choice = decide([[probe]], load, PRICES).choice
            history.append([probe])
            history[0].append(task.run(load, choice, random))
        else:
            history.insert(0, [task.run(load, choice, random)])
    return history


TASKS = {
    "cpu": Task(compute=100),
    "io": Task(read=40, compute=5, bandwidth=0.5),
    "memory": Task(memory=(200, 9)),
    "slow start": Task(start=20),
    "many files": Task(per_slice=0.2),
}


@pytest.mark.parametrize("objective", ["time", "cost", "balanced"])
@pytest.mark.parametrize(("sizes", "cores"), [(CLUSTER, 64.0), (LAMBDA, 0.0)], ids=["cluster", "lambda"])
def test_regret_is_small_after_three_runs(objective: str, sizes: list[WorkerSize], cores: float) -> None:
    regrets = []
    for task in TASKS.values():
        for seed in range(6):
            history = experience(task, sizes, np.random.default_rng(seed), 3, cores)
            load = grid(sizes, 2.0, cores)
            decision = decide(history, load, PRICES, objective=objective)
            fits = task.fits(load)
            assert fits[place(load, decision.choice)], "the chosen worker would die of its memory"
            time, cost = task.time(load), task.cost(load)
            value = {
                "time": time, "cost": cost, "balanced": np.hypot(time / time[fits].min(), cost / cost[fits].min()),
            }[objective]  # fmt: skip
            regrets.append(value[place(load, decision.choice)] / value[fits].min() - 1)
    assert np.median(regrets) <= 0.05
    assert np.quantile(regrets, 0.9) <= 0.35


def test_predictions_are_near_after_eight_runs_and_their_bounds_hold() -> None:
    errors, inside = [], []
    for task in TASKS.values():
        for seed in range(4):
            random = np.random.default_rng(seed)
            history = experience(task, CLUSTER, random, 8, 64.0)
            load = grid(CLUSTER, 2.0, 64.0)
            decision = decide(history, load, PRICES)
            true = float(task.time(load)[place(load, decision.choice)])
            assert decision.time is not None
            errors.append(abs(decision.time.value / true - 1))
            inside.append(decision.time.low <= true <= decision.time.high)
    assert np.median(errors) <= 0.07
    assert np.mean(inside) >= 0.9


def test_feasible_deadlines_are_met_under_noise() -> None:
    met: list[bool] = []
    promised: list[bool] = []
    feasible: list[bool] = []
    for task in TASKS.values():
        task = Task(**{**vars(task), "noise": 0.2})
        for seed in range(4):
            random = np.random.default_rng(seed)
            history = experience(task, CLUSTER, random, 8, 64.0)
            load = grid(CLUSTER, 2.0, 64.0)
            deadline = 2.5 * float(task.time(load)[task.fits(load)].min())
            decision = decide(history, load, PRICES, objective="cost", deadline=deadline)
            feasible.append(decision.in_time)
            kept = [task.run(load, decision.choice, random).seconds <= deadline for _ in range(100)]
            met += kept
            if decision.surely:
                promised += kept
    assert np.mean(feasible) >= 0.8, "but where only single workers were seen, many more are no promise"
    assert len(promised) >= 200  # it is sure of some, and those it keeps
    assert np.mean(promised) >= 0.99
    assert np.mean(met) >= 0.95


def test_an_impossible_deadline_gets_the_nearest_plan_and_is_said_to_be_impossible() -> None:
    task = TASKS["cpu"]
    history = experience(task, CLUSTER, np.random.default_rng(1), 4, 64.0)
    load = grid(CLUSTER, 2.0, 64.0)
    decision = decide(history, load, PRICES, objective="cost", deadline=0.01)
    assert not decision.in_time
    assert not decision.surely
    assert decision.time is not None
    assert decision.time.value == pytest.approx(decide(history, load, PRICES, objective="time").time.value, rel=0.02)  # type: ignore[union-attr]


def test_a_deadline_buys_more_workers_than_the_cheapest_plan_has() -> None:
    history = experience(TASKS["cpu"], CLUSTER, np.random.default_rng(2), 6, 64.0)
    load = grid(CLUSTER, 2.0, 64.0)
    cheapest = decide(history, load, PRICES, objective="cost")
    assert cheapest.time is not None
    hurried = decide(history, load, PRICES, objective="cost", deadline=cheapest.time.value / 4)
    assert hurried.in_time
    assert hurried.choice.workers > cheapest.choice.workers


def test_a_hungry_task_gets_smaller_slices_or_larger_workers() -> None:
    hungry = Wave(workers=1, slices=1, bytes=10**8, seconds=10, peak_mb=3100, base_mb=100, slice_bytes=10**8)
    load = grid([WorkerSize(memory_mb=512, max_workers=4), WorkerSize(memory_mb=2048, max_workers=4)], 1.0)
    decision = decide([[hungry]], load, PRICES)
    assert decision.fits
    assert decision.peak is not None
    assert decision.peak.high <= decision.choice.memory_mb
    assert 100 + 30 * 1000 / decision.choice.slices <= decision.choice.memory_mb


def test_no_worker_is_large_enough_is_said() -> None:
    hungry = Wave(workers=1, slices=1, bytes=10**8, seconds=10, peak_mb=5000, base_mb=4000, slice_bytes=10**8)
    decision = decide([[hungry]], grid([WorkerSize(memory_mb=512, max_workers=4)], 1.0), PRICES)
    assert not decision.fits
    assert decision.choice.slices == 4 * EACH, "the smallest slices are the nearest to fitting"


def test_without_a_history_nothing_is_predicted() -> None:
    decision = decide([], grid(CLUSTER, 1.0, 2.0), PRICES)
    assert decision.time is decision.cost is decision.peak is None
    assert decision.front == ()
    assert decision.choice.workers == 2, "no more workers than cores"


def test_the_front_holds_no_beaten_choice_and_runs_from_fast_to_cheap() -> None:
    history = experience(TASKS["cpu"], LAMBDA, np.random.default_rng(3), 4, 0.0)
    front = decide(history, grid(LAMBDA, 2.0), PRICES).front
    assert 1 < len(front) <= 12
    assert [point.time_s for point in front] == sorted(point.time_s for point in front)
    assert [point.cost for point in front] == sorted((point.cost for point in front), reverse=True)


def test_the_newest_behaviour_outweighs_the_old() -> None:
    def wave(seconds: float) -> Wave:
        return Wave(workers=1, slices=1, bytes=10**9, seconds=seconds, peak_mb=100)

    load = configurations([WorkerSize(memory_mb=512)], volume=10**9, units=1)
    changed = decide([[wave(20)]] * 20 + [[wave(10)]] * 20, load, PRICES)
    assert changed.time is not None
    assert changed.time.value > 14.5


def test_waves_without_slices_or_duration_teach_nothing() -> None:
    assert learn([[Wave(workers=1, slices=0, bytes=0, seconds=1)], [Wave(workers=1, slices=1, bytes=1, seconds=0)]]) is None


@pytest.mark.parametrize("most", [1, 2, 31, 32, 33, 1000, 10_000])
def test_the_ladder_starts_at_one_and_ends_at_the_most(most: int) -> None:
    steps = ladder(most)
    assert steps[0] == 1
    assert steps[-1] == most
    assert steps == sorted(set(steps))
    assert len(steps) < 100


def test_constraints_leave_nothing_else() -> None:
    load = configurations(CLUSTER, volume=10**9, units=50, workers=8, slices=20)
    assert set(load.workers) == {8}
    assert set(load.slices) == {20}
    fewer = configurations(CLUSTER, volume=10**9, units=3)
    assert fewer.workers.max() == 3
    assert fewer.slices.max() == 3


def test_old_behaviour_is_forgotten_when_the_task_changes() -> None:
    def wave(seconds: float, workers: int) -> Wave:
        return Wave(workers=workers, slices=4, bytes=10**9, seconds=seconds / workers, compute_s=seconds, peak_mb=100)

    before = [[wave(20, 1 + number % 2)] for number in range(12)]
    after = [[wave(60, 1 + number % 2)] for number in range(2)]
    load = configurations([WorkerSize(memory_mb=512)], volume=10**9, units=4, slices=4)
    decision = decide([*after, *before], load, PRICES)
    assert decision.time is not None
    assert decision.time.value == pytest.approx(60, rel=0.15)


def test_a_worker_that_died_of_its_memory_is_not_tried_again() -> None:
    dead = Wave(workers=1, slices=1, bytes=10**9, seconds=3, memory_mb=1024, failed=1, out_of_memory=1, slice_bytes=10**9)
    sizes = [WorkerSize(memory_mb=mb, max_workers=2) for mb in (1024, 4096)]
    again = decide([[dead]], configurations(sizes, volume=10**9, units=1), PRICES)
    assert again.time is None
    assert again.choice.memory_mb == 4096


def waves(runs: int, workers: int, gigabytes: float) -> list[list[Wave]]:
    """Runs of a task that computes 40 s a GB."""
    size = int(gigabytes * 1e9)
    alike = Wave(
        workers=workers, slices=4 * workers, bytes=size, seconds=1, memory_mb=2048, start_s=2, read_s=5 * gigabytes,
        compute_s=40 * gigabytes, cpu_s=40 * gigabytes, peak_mb=500, base_mb=100, slice_bytes=size // (4 * workers),
    )  # fmt: skip
    took = [2 + 45 * gigabytes / workers + number / 9 for number in range(runs)]
    return [[msgspec.structs.replace(alike, seconds=seconds)] for seconds in took]


@pytest.mark.parametrize("objective", ["time", "cost", "balanced"])
@pytest.mark.parametrize("runs", [0, 1, 3, 8])
@pytest.mark.parametrize(
    ("gigabytes", "units", "workers"), [(1, 10**7, 2), (100, 10**8, 2), (100, 10**8, 1000), (1, 4 * 10**6, 64)]
)
def test_an_array_of_millions_of_rows_is_not_cut_into_millions_of_slices(
    objective: str, runs: int, gigabytes: float, units: int, workers: int
) -> None:
    sizes = [WorkerSize(memory_mb=mb, max_workers=workers) for mb in (1024, 2048, 4096)]
    load = configurations(sizes, volume=int(gigabytes * 1e9), units=units)
    assert load.slices.max() <= min(max(64 * workers, gigabytes * 1e9 / USUAL), MOST)
    decision = decide(waves(runs, min(workers, 32), gigabytes / 10), load, PRICES, objective=objective)
    assert decision.choice.slices <= max(64 * decision.choice.workers, gigabytes * 1e9 / USUAL)


def test_a_petabyte_is_cut_into_slices_that_fit_in_workers_and_many_objects_into_one_each() -> None:
    size = [WorkerSize(memory_mb=4096, max_workers=10_000)]
    assert configurations(size, volume=10**15, units=10**9).slice_bytes.min() == pytest.approx(LARGE, rel=0.01)
    assert configurations(size, volume=10**6, units=9000, objects=9000).slices.max() == 9000
    assert configurations(size, volume=1000, units=1000).slices.max() == 1000, "a worker each, if somebody wants that"
    assert configurations(size, volume=10**9, units=10**7, slices=10**6).slices.max() == 10**6, "who says how many, gets them"


def test_of_two_plans_that_are_as_good_the_one_with_fewer_slices_is_chosen() -> None:
    same, slices = np.array([5.0, 5.0, 5.0]), np.array([4000.0, 4.0, 400.0])
    assert [choose(same, same, slices, objective) for objective in ("time", "cost", "balanced", "time=3,cost=1")] == [1] * 4
    time = np.array([5.0, 5.01, 5.2])
    assert [choose(time, same, slices, objective) for objective in ("time", "balanced")] == [1, 1]


def test_a_slice_costs_something_before_runs_of_several_sizes_tell_how_much() -> None:
    one = Wave(workers=1, slices=4, bytes=10**8, seconds=9, compute_s=8, start_s=1, peak_mb=300, slice_bytes=25 * 10**6)
    assert measured_phases([one], np.ones(1), load_of([one])).slice == pytest.approx(SLICE_S, rel=0.1)
    other = Wave(workers=1, slices=16, bytes=10**8, seconds=33, compute_s=32, start_s=1, peak_mb=300, slice_bytes=6 * 10**6)
    assert measured_phases([one, other], np.ones(2), load_of([one, other])).slice == pytest.approx(2, rel=0.1)
    brief = msgspec.structs.replace(one, compute_s=0.008, seconds=1.008)
    assert measured_phases([brief], np.ones(1), load_of([brief])).slice < 0.0011, "no more than half of what one took"


def test_the_largest_slice_has_the_largest_unit() -> None:
    size = [WorkerSize(memory_mb=2048, max_workers=64)]
    one = configurations(size, volume=1000, units=101, unit_bytes=900)
    assert one.slice_bytes[one.slices == 64][0] == pytest.approx(901), "and one of the others"
    assert configurations(size, volume=1000, units=101, unit_bytes=900, slices=101).slice_bytes.max() == 900
    even = configurations(size, volume=300, units=3)
    assert even.slice_bytes[even.slices == 2][0] == 200, "of three units one slice has two"


def test_waves_that_read_nothing_teach_no_rate() -> None:
    nothing = Wave(workers=1, slices=1, bytes=0, seconds=5, compute_s=5)
    assert learn([[nothing]]) is None
    load = configurations([WorkerSize(memory_mb=2048)], volume=10**9, units=10)
    known, mixed = (decide([*more, *waves(1, 1, 0.1)], load, PRICES).time for more in ([], [[nothing]]))
    assert known is not None
    assert mixed is not None
    assert mixed.value == pytest.approx(known.value, rel=0.05)


@pytest.mark.parametrize("text", ["time=1e9,cost=1", "time=1E+9, cost=1", "time=1000000000,cost=1.", "time=2e300,cost=2e291"])
def test_weights_may_have_exponents(text: str) -> None:
    assert weights(text) == pytest.approx((1, 1e-9))


@pytest.mark.parametrize(
    "text", ["", "fun", "time=1e999,cost=1", "time=0,cost=0", "time=-1,cost=1", "time=nan,cost=1", "time=1,cost=٣"]
)
def test_what_is_no_objective_is_refused(text: str) -> None:
    with pytest.raises(Reject, match="no objective is called"):
        weights(text)
