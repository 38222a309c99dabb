"""Lithops with a planner: ``map`` over data sets of the lake plans itself, runs its slices, and teaches the planner.

    with SluiceExecutor() as executor:
        counts = executor.map(count, "s3://bucket/stars.csv", objective="balanced").result()
        print(executor.plan.explanation)

Everything else is Lithops' own ``FunctionExecutor``: plain iterdata pass through unchanged.
"""

from __future__ import annotations

import atexit
import copy
import inspect
import logging
import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from events.errors import Reject, Retry
from events.ports import NotFound, ObjectStore, Query
from events.types import ObjectDerived, PlanReady, PlanRequested, TaskExecuted
from functions.formats import by_name
from functions.formats.format import Index, Slice, decode_index
from functions.formats.where import Where
from functions.planner.choice import check_deadline
from functions.planner.dataset import split_address
from infra.config import Config, load
from infra.objects.s3 import S3Store
from infra.runtime import capacity, task_code
from infra.runtime.direct import DirectCatalog, NoProfiles
from infra.runtime.journal import Written
from infra.runtime.lanes import Lanes, options_of
from infra.runtime.lithops_folder import FunctionExecutor
from infra.runtime.lithops_settings import api_of, lithops_config, store_of
from infra.runtime.map_arguments import DataSet, data_set, extra, told
from infra.runtime.pipeline_lake import Lake
from infra.runtime.planned_map import PlannedMap
from infra.runtime.planner_client import HttpPlanner, LocalPlanner, Planner, Ports, plan_with
from infra.runtime.probe import ENVIRONMENT, Work
from infra.runtime.reduction import Reduction
from infra.runtime.results import Target, derived, target

logger = logging.getLogger("sluice")


class SluiceExecutor(FunctionExecutor):  # type: ignore[misc]
    """A Lithops executor whose maps over the lake plan themselves.

    Args:
        sluice: the configuration; else it is read from ``config_file``, ``LITHOPS_CONFIG_FILE`` or ``./lithops_config.yaml``.
        config: Lithops' own configuration; else it is the rest of that file, or localhost if there is none.
        url: of the lake's API to plan with; else, without ``ports``, the one that the configuration names.
        ports: plan in this process over these ports.
        planner: asked for plans, and told what runs took, instead of either.
        progress: ``False`` shows nothing; a function (slices done, slices) replaces the bar.
        log_level: of Lithops; ``None`` leaves logging alone.
        lithops: anything else that ``FunctionExecutor`` takes.

    Attributes:
        plan: the plan of the latest planned map.

    """

    def __init__(
        self,
        *,
        sluice: Config | None = None,
        config: dict[str, Any] | None = None,
        config_file: str | None = None,
        url: str = "",
        ports: Ports | None = None,
        planner: Planner | None = None,
        progress: bool | Callable[[int, int], None] | None = None,
        log_level: str | bool | None = None,
        **lithops: Any,
    ) -> None:
        self.sluice = sluice or load(config_file)
        self.settings = self.sluice.settings
        own = lithops_config(config, config_file, max(size.max_workers for size in self.settings.workers))
        super().__init__(config=own, log_level=log_level, **lithops)
        self.local = self.mode == "localhost"
        self.cores = capacity.cluster_cores(self.mode, self.sluice.planner)
        self.plan: PlanReady | None = None
        self._progress = progress
        self._store: dict[str, str] = store_of(self.sluice)
        environment = {ENVIRONMENT[name]: value for name, value in self._store.items()} if self.local else {}
        self.lanes = Lanes(self, lambda: FunctionExecutor(config=copy.deepcopy(own), log_level=None, **lithops), environment)
        self._own_objects = None if ports else S3Store(**self._store)
        self.objects: ObjectStore = ports.objects if ports else self._own_objects  # type: ignore[assignment]
        #: What pipelines that run here ask of their lake.
        self.lake: Callable[[], Lake] = lambda: Lake(self.sluice)
        #: Asked while a map runs: whether it shall end, with ``Retry``.
        self.stopping: Callable[[], bool] = lambda: False
        self._planner: Planner = planner or (
            LocalPlanner(ports) if ports and not url else HttpPlanner(url or api_of(self.sluice), self.sluice.http.token)
        )
        self._indexes: dict[tuple[str, str, str], Index] = {}
        self._places: dict[tuple[str, str, str], str] = {}
        self._written: list[str] = []
        self._planned: PlannedMap | None = None
        self._closed = False
        atexit.register(self.close)

    def map(  # noqa: D417 - the others are Lithops' own
        self,
        map_function: Callable[..., Any],
        map_iterdata: Any,
        *args: Any,
        objective: str = "balanced",
        deadline: float | None = None,
        slices: int = 0,
        workers: int = 0,
        memory: int = 0,
        columns: Sequence[str] | None = None,
        where: Where = (),
        into: str = "",
        form: str = "parquet",
        dataset: str = "",
        name: str = "",
        keep: bool = True,
        progress: bool | Callable[[int, int], None] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call ``map_function`` once for each slice of a data set, as planned; or map plain data as Lithops does.

        Args:
            map_function: called with the opened slice (for CSV a ``pyarrow.Table``) and any ``extra_args``.
            map_iterdata: ``s3://bucket/key``, a list of them, or a catalogue ``Query``; anything else is for Lithops.
            objective: ``time``, ``cost`` or ``balanced``.
            deadline: seconds within which the map should end.
            slices: this many, where not 0; likewise
            workers: and
            memory: MB of a worker.
            columns: only these columns are read; see ``Slice.open``.
            where: only rows that meet these conditions.
            into: ``s3://bucket/prefix``: each result becomes an object below it, and ``Written`` is what comes back.
            form: of the tables among them: ``parquet``, ``csv`` or ``jsonl``.
            dataset: name of the data set that these objects are in the end: made, or given them for its old ones.
            keep: tell the lake what these objects were made of.
            name: of the task, for its profile; else the function's.
            progress: as the executor's, for this map.

        Returns:
            A ``PlannedMap``, or Lithops' futures for plain data. ``get_result`` takes both.

        Raises:
            Reject: the data set is unknown or cannot be cut, or the objective makes no sense.

        """
        data = data_set(map_iterdata)
        if data is None:
            if objective != "balanced" or deadline is not None or any((slices, workers, memory, columns, where, into, name)):
                ours = "objective, deadline, slices, workers, memory, columns, where, into and name"
                raise TypeError(f"{ours} are for maps over s3:// objects or a Query only")
            self._planned = None
            return super().map(map_function, map_iterdata, *args, **kwargs)
        check_deadline(deadline)
        given = inspect.signature(FunctionExecutor.map).bind(self, map_function, map_iterdata, *args, **kwargs).arguments
        memory = memory or given.get("runtime_memory") or 0
        request = PlanRequested(
            task=name or task_code.task_name(map_function),
            code=task_code.code_hash(map_function, columns, where),
            backend=self.backend,
            image=self.image,
            objects=[data] if isinstance(data, str) else data if isinstance(data, list) else [],
            query=told(data) if isinstance(data, Query) else {},
            objective=objective,
            deadline_s=deadline,
            sizes=capacity.sizes(self.backend, self.mode, self.config.get(self.backend) or {}, self.sluice.planner),
            cores=self.cores,
            workers=workers,
            memory_mb=memory,
            slices=slices or given.get("obj_chunk_number") or self._chunks(data, given.get("obj_chunk_size") or 0),
        )
        self.plan = self.ask(request) or self._unplanned(request)
        run = str(uuid.uuid4())
        extra_args, extra_kwargs = extra(given.get("extra_args"))
        work = Work(
            task_code.dumps(map_function),
            self.lanes.place(run),
            extra_args,
            extra_kwargs,
            tuple(filter(None, sys.path)) if self.local else (),
            None if columns is None else tuple(columns),
            tuple(tuple(condition) for condition in where),
            self._target(into, run, form),
        )
        options = options_of(given, memory or None)
        shown = self._progress if progress is None else progress
        planned = PlannedMap(self, work, request, self.plan, self._cut(self.plan), options, shown, run)
        if into and keep:

            def tell(made: list[Written], parts: list[Slice]) -> list[Written]:
                self.keep(run, request.task, derived(made, parts, request.task), dataset, target(into, run, form))
                return made

            planned.then.append(tell)
        self._planned = planned
        return planned

    def map_reduce(
        self,
        map_function: Callable[..., Any],
        map_iterdata: Any,
        reduce_function: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """As ``map``, then ``reduce_function`` over the list of results, in a worker.

        With ``obj_reduce_by_key`` there is a reduction for each object, and a list of what they gave. Takes Lithops' own
        arguments; ``spawn_reducer`` has no meaning, the reduction begins when the map has ended.
        """
        if data_set(map_iterdata) is None:
            self._planned = None
            return super().map_reduce(map_function, map_iterdata, reduce_function, *args, **kwargs)
        names = set(inspect.signature(FunctionExecutor.map_reduce).parameters)
        ours = {name: kwargs.pop(name) for name in list(kwargs) if name not in names}
        bound = inspect.signature(FunctionExecutor.map_reduce).bind(
            self, map_function, map_iterdata, reduce_function, *args, **kwargs
        )
        given = dict(bound.arguments)
        for name in ("self", "map_function", "map_iterdata", "reduce_function", "spawn_reducer"):
            given.pop(name, None)
        extra_args, extra_kwargs = extra(given.pop("extra_args_reduce", None))
        by_key, memory = given.pop("obj_reduce_by_key", False), given.pop("reduce_runtime_memory", None)
        if "map_runtime_memory" in given:
            given["runtime_memory"] = given.pop("map_runtime_memory")
        path = tuple(filter(None, sys.path)) if self.local else ()
        reduction = Reduction(task_code.dumps(reduce_function), extra_args, extra_kwargs, path)
        options = options_of({**given, "chunksize": 0}, memory)

        def reduce(results: list[Any], slices: list[Slice]) -> Any:
            groups: dict[tuple[str, str], list[Any]] = {}
            for result, part in zip(results, slices, strict=True):
                groups.setdefault((part.bucket, part.key) if by_key else ("", ""), []).append(result)
            futures = self.lanes.submit(
                reduction, [(task_code.dumps_data(group),) for group in groups.values()], options, memory
            )
            reduced = [Reduction.read(value) for value in FunctionExecutor.get_result(self, futures, show_progressbar=False)]
            return reduced if by_key else reduced[0]

        planned = self.map(map_function, map_iterdata, **given, **ours)
        planned.then.append(reduce)
        return planned

    def get_result(self, fs: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The results of a planned map, of Lithops' futures, or without arguments of the latest map."""
        planned = fs if isinstance(fs, PlannedMap) else self._planned if fs is None else None
        return planned.result() if planned is not None else super().get_result(fs, *args, **kwargs)

    def wait(self, fs: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Wait for a planned map (then (done, not done) are lists of it), or as Lithops does."""
        planned = fs if isinstance(fs, PlannedMap) else self._planned if fs is None else None
        if planned is None:
            return super().wait(fs, *args, **kwargs)
        planned.wait()
        return [planned], []

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop what still runs and remove what the maps left behind. Nothing of this executor's can be used afterwards."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self.lanes.close()
        for place in self._written:
            self.discard(Target(self.settings.bucket, place))
        if self._own_objects is not None:
            self._own_objects.close()

    # What a PlannedMap needs of its executor.

    @property
    def image(self) -> str:
        """What the workers run in, where that is not this machine."""
        return "" if self.local else str((self.config.get(self.backend) or {}).get("runtime") or "")

    def ask(self, request: PlanRequested) -> PlanReady | None:
        """The plan, or ``None`` with a warning where the planner does not answer. Raises ``Reject``."""
        try:
            return self._planner.plan(request)
        except Reject:
            raise
        except Exception as error:
            logger.warning("the map of %s runs unplanned, the planner does not answer: %s", request.task, error)
            return None

    def publish(self, executed: TaskExecuted) -> None:
        """Teach the planner."""
        self._planner.publish(executed)

    def keep(self, run: str, task: str, made: Sequence[ObjectDerived], dataset: str, place: Target) -> None:
        """Tell the lake what objects were made of; with ``dataset`` wait until it knows them and let that consist of them.

        Raises ``Reject`` or ``Retry`` where a data set was asked for and cannot be made; then what lies at ``place`` is gone.
        """
        if not dataset and not isinstance(self._planner, HttpPlanner):
            return
        try:
            with self.lake() as lake:
                if dataset:
                    lake.keep(run, made, dataset, lambda: self.discard(place))
                else:
                    lake.told(run, made)
        except (Reject, Retry) as error:
            if dataset:
                raise
            logger.warning("what the results of %s were made of was not told: %s", task, error)

    def discard(self, place: Target, until: str = "") -> None:
        """Delete what lies at ``place``; with ``until`` only what was written before then (RFC 3339)."""
        try:
            for one in list(self.objects.list(place.bucket, place.prefix)):
                if not until or one.modified < until:
                    self.objects.delete(one.bucket, one.key)
        except NotFound:
            return  # there is no such bucket
        except Retry as error:
            logger.warning("s3://%s/%s is left over of a map: %s", place.bucket, place.prefix, error)

    def index(self, part: Slice) -> Index:
        """What a slice was cut by."""
        identity = (part.bucket, part.key, part.etag)
        if identity not in self._indexes:
            self._indexes[identity] = self._index(self._places[identity])
        return self._indexes[identity]

    def larger(self, memory: int) -> int:
        """The next larger worker, in MB; 0 where there is none or the back end does not heed it."""
        if not capacity.heeds_memory(self.backend):
            return 0
        return min((size.memory_mb for size in self.settings.workers if size.memory_mb > memory), default=0)

    def _target(self, into: str, run: str, form: str) -> Target | None:
        """Where results go; the bucket is there then."""
        if not into:
            return None
        found = target(into, run, form)
        self._ensure(found.bucket)
        return found

    def _ensure(self, bucket: str) -> None:
        if ensure := getattr(self.objects, "ensure", None):
            ensure(bucket)

    def _chunks(self, data: DataSet, size: int) -> int:
        """How many slices of ``size`` bytes the objects make; 0 where that is 0."""
        if not size:
            return 0
        if isinstance(data, Query):
            raise TypeError("obj_chunk_size needs the objects by name, a Query does not tell their sizes: give slices=")
        found = [split_address(one) for one in ([data] if isinstance(data, str) else data)]
        return sum(-(-self.objects.head(*one).size // size) or 1 for one in found)

    def _unplanned(self, request: PlanRequested) -> PlanReady:
        """All cores, by what the objects themselves tell."""
        self._ensure(self.settings.bucket)
        catalog = DirectCatalog(self.objects, self.settings.bucket)
        try:
            plan = plan_with(Ports(catalog, NoProfiles(), self.objects, self.settings), request)
        finally:
            self._written += catalog.written
        self._indexes.update(catalog.indexes)
        return msgspec.structs.replace(plan, basis="unplanned", explanation="unplanned: the planner did not answer")

    def _cut(self, plan: PlanReady) -> list[Slice]:
        """The plan's slices, in the order of its objects."""
        found: list[Slice] = []
        for part in plan.objects:
            identity = (part.bucket, part.key, part.etag)
            self._places[identity] = part.index
            if identity not in self._indexes:
                self._indexes[identity] = self._index(part.index)
            at = f"{self.settings.bucket}/{part.index}"
            found += by_name(part.format).slices(
                self._indexes[identity], part.slices, bucket=part.bucket, key=part.key, index_at=at
            )
        return found

    def _index(self, key: str) -> Index:
        bucket = self.settings.bucket
        try:
            return decode_index(self.objects.read(bucket, key, 0, self.objects.head(bucket, key).size))
        except NotFound as error:
            raise Reject(f"the slice index s3://{bucket}/{key} is missing: upload its object again") from error
