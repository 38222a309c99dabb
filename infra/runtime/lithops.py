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
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from events.errors import Reject
from events.ports import NotFound, ObjectStore, Query
from events.types import PlanReady, PlanRequested, TaskExecuted, WorkerSize
from functions.formats import by_name
from functions.formats.format import Index, Slice, decode_index
from infra.config import CONFIG_FILE, Config, cores, door_keys, load
from infra.objects.s3 import S3Store
from infra.runtime import task_code
from infra.runtime.direct import DirectCatalog, NoProfiles
from infra.runtime.planned_map import Options, PlannedMap
from infra.runtime.planner_client import HttpPlanner, LocalPlanner, Planner, Ports, plan_with
from infra.runtime.probe import ENVIRONMENT, Report, Work


def _own_folder() -> None:
    """Give Lithops a temporary folder of this process alone, for as long as it lives.

    All Lithops processes of a user share one below ``TMPDIR``, with a copy of the lithops package that its workers run: another
    environment's version, or one that another process is just replacing. Job files hold a map's environment, so nobody else may
    read them either. Lithops fixes the place when it is imported, and its workers take it from the environment.
    """
    process, folder = os.getpid(), tempfile.mkdtemp(prefix="sluice-lithops-")
    os.environ["TMPDIR"] = folder

    def remove() -> None:
        # A cleaner that somebody asked for finds its work there, and outlives us; a forked child is not its owner.
        if os.getpid() == process and not any(Path(folder).glob("*/cleaner/tmp*")):
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)


if "lithops" not in sys.modules:
    _before = tempfile.gettempdir()
    _own_folder()
    tempfile.tempdir = None
    import lithops.constants  # noqa: F401

    tempfile.tempdir = _before
from lithops import FunctionExecutor  # noqa: E402
from lithops.constants import JOBS_PREFIX  # noqa: E402
from lithops.wait import ANY_COMPLETED  # noqa: E402

logger = logging.getLogger("sluice")
DataSet = str | list[str] | Query


class SluiceExecutor(FunctionExecutor):  # type: ignore[misc]
    """A Lithops executor whose maps over the lake plan themselves.

    Args:
        sluice: the configuration; else it is read from ``config_file``, ``LITHOPS_CONFIG_FILE`` or ``./lithops_config.yaml``.
        config: Lithops' own configuration; else it is the rest of that file, or localhost if there is none.
        url: of the lake's API to plan with; else, without ``ports``, the one that the configuration names.
        ports: plan in this process over these ports.
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
        progress: bool | Callable[[int, int], None] | None = None,
        log_level: str | bool | None = None,
        **lithops: Any,
    ) -> None:
        self.sluice = sluice or load(config_file)
        self.settings = self.sluice.settings
        own = _lithops_config(config, config_file, max(size.max_workers for size in self.settings.workers))
        super().__init__(config=own, log_level=log_level, **lithops)
        self.local = self.mode == "localhost"
        self.cores = float(cores()) if self.local else self.settings.cores
        self.plan: PlanReady | None = None
        self._progress = progress
        self._store: dict[str, str] = _store(self.sluice)
        self._own_objects = None if ports else S3Store(**self._store)
        self.objects: ObjectStore = ports.objects if ports else self._own_objects  # type: ignore[assignment]
        self._planner: Planner = (
            LocalPlanner(ports) if ports and not url else HttpPlanner(url or _api(self.sluice), self.sluice.http.token)
        )
        self._indexes: dict[tuple[str, str, str], Index] = {}
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
            progress: as the executor's, for this map.

        Returns:
            A ``PlannedMap``, or Lithops' futures for plain data. ``get_result`` takes both.

        Raises:
            Reject: the data set is unknown or cannot be cut, or the objective makes no sense.

        """
        data = _data_set(map_iterdata)
        if data is None:
            if objective != "balanced" or deadline is not None or slices or workers or memory:
                raise TypeError("objective, deadline, slices, workers and memory plan a map over s3:// objects or a Query only")
            self._planned = None
            return super().map(map_function, map_iterdata, *args, **kwargs)
        given = inspect.signature(FunctionExecutor.map).bind(self, map_function, map_iterdata, *args, **kwargs).arguments
        if given.get("obj_chunk_size"):
            raise TypeError("obj_chunk_size does not apply to planned maps, which cut at records: give slices=")
        slices, memory = slices or given.get("obj_chunk_number") or 0, memory or given.get("runtime_memory") or 0
        request = PlanRequested(
            task=task_code.task_name(map_function),
            code=task_code.code_hash(map_function),
            backend=self.backend,
            objects=[data] if isinstance(data, str) else data if isinstance(data, list) else [],
            query=_told(data) if isinstance(data, Query) else {},
            objective=objective,
            deadline_s=deadline,
            sizes=self._sizes(),
            cores=self.cores,
            workers=workers,
            memory_mb=memory,
            slices=slices,
        )
        self.plan = self.ask(request) or self._unplanned(request)
        extra_args, extra_kwargs = _extra(given.get("extra_args"))
        work = Work(
            task_code.dumps(map_function), extra_args, extra_kwargs, tuple(filter(None, sys.path)) if self.local else ()
        )
        options = Options(
            runtime_memory=memory or None,
            timeout=given.get("timeout"),
            extra_env=given.get("extra_env") or {},
            include_modules=given.get("include_modules") or None,
            exclude_modules=given.get("exclude_modules") or [],
        )
        shown = self._progress if progress is None else progress
        self._planned = PlannedMap(self, work, request, self.plan, self._cut(self.plan), options, shown)
        return self._planned

    def map_reduce(
        self,
        map_function: Callable[..., Any],
        map_iterdata: Any,
        reduce_function: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """As ``map``, then ``reduce_function`` over the list of results.

        For a data set the reduction runs here once the map has ended, and its result is what ``get_result`` gives.
        """
        if _data_set(map_iterdata) is None:
            self._planned = None
            return super().map_reduce(map_function, map_iterdata, reduce_function, *args, **kwargs)
        extra_args, extra_kwargs = _extra(kwargs.pop("extra_args_reduce", None))
        if "map_runtime_memory" in kwargs:
            kwargs["runtime_memory"] = kwargs.pop("map_runtime_memory")
        for name in ("reduce_runtime_memory", "spawn_reducer", "obj_reduce_by_key"):
            kwargs.pop(name, None)  # about a reducer in a worker of its own
        planned = self.map(map_function, map_iterdata, *args, **kwargs)
        planned.reduce = lambda results: reduce_function(results, *extra_args, **extra_kwargs)
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
        super().__exit__(None, None, None)
        for prefix in (f"{JOBS_PREFIX}/{self.executor_id}-", f"{JOBS_PREFIX}/{self.executor_id}/"):
            keys = self.storage.list_keys(self.storage.bucket, prefix)
            if keys:
                self.storage.delete_objects(self.storage.bucket, keys)
        if self._own_objects is not None:
            self._own_objects.close()

    # What a PlannedMap needs of its executor.

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

    def submit(self, work: Work, parts: list[bytes], options: Options, memory: int | None) -> list[Any]:
        """Start one worker for each part."""
        environment = {ENVIRONMENT[name]: value for name, value in self._store.items()} if self.local else {}
        futures = super().map(
            work,
            [(part,) for part in parts],
            extra_env={**environment, **options.extra_env},
            runtime_memory=memory,
            timeout=options.timeout,
            include_modules=options.include_modules,
            exclude_modules=options.exclude_modules,
        )
        ours = set(map(id, futures))  # get_result() without arguments is about the user's own
        self.futures: list[Any] = [future for future in self.futures if id(future) not in ours]
        return list(futures)

    def collect(self, futures: list[Any]) -> Iterator[tuple[int, Report | BaseException]]:
        """Each worker's place and report as it ends, or what it died of."""
        places, pending = {id(future): place for place, future in enumerate(futures)}, futures
        while pending:
            ended, pending = super().wait(
                pending, throw_except=False, return_when=ANY_COMPLETED, download_results=True, show_progressbar=False
            )
            for future in ended:
                try:
                    yield places[id(future)], future.result(internal_storage=self.internal_storage)
                except Exception as error:
                    yield places[id(future)], error
        super().wait(futures, throw_except=False, download_results=True, show_progressbar=False)

    def _sizes(self) -> list[WorkerSize]:
        """The worker configurations, as far as this back end has room for."""
        own = self.config.get(self.backend) or {}
        most = own.get("worker_processes" if self.local else "max_workers") or 1
        return [msgspec.structs.replace(size, max_workers=min(size.max_workers, most)) for size in self.settings.workers]

    def _unplanned(self, request: PlanRequested) -> PlanReady:
        """All cores, by what the objects themselves tell."""
        catalog = DirectCatalog(self.objects)
        plan = plan_with(Ports(catalog, NoProfiles(), self.objects, self.settings), request)
        self._indexes.update(catalog.indexes)
        return msgspec.structs.replace(plan, basis="unplanned", explanation="unplanned: the planner did not answer")

    def _cut(self, plan: PlanReady) -> list[Slice]:
        """The plan's slices, in the order of its objects."""
        found: list[Slice] = []
        for part in plan.objects:
            identity = (part.bucket, part.key, part.etag)
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


def _data_set(data: Any) -> DataSet | None:
    """The data set that ``data`` names, or ``None`` where it is plain iterdata."""
    if isinstance(data, Query) or (isinstance(data, str) and data.startswith("s3://")):
        return data
    if isinstance(data, list | tuple) and data and all(isinstance(one, str) and one.startswith("s3://") for one in data):
        return list(data)
    return None


def _told(query: Query) -> dict[str, Any]:
    """The fields of a query that say something."""
    defaults = msgspec.to_builtins(Query())
    return {name: value for name, value in msgspec.to_builtins(query).items() if value != defaults[name]} or {"name": "*"}


def _extra(args: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Lithops' ``extra_args`` as positional and keyword arguments."""
    if args is None:
        return (), {}
    if isinstance(args, dict):
        return (), args
    return (tuple(args), {}) if isinstance(args, list | tuple) else ((args,), {})


def _lithops_config(config: dict[str, Any] | None, file: str | None, workers: int) -> dict[str, Any]:
    """Lithops' configuration without our section (it travels to the workers), with what localhost needs to be right."""
    if config is None:
        path = Path(file or os.environ.get("LITHOPS_CONFIG_FILE") or CONFIG_FILE)
        config = (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}
    own = {name: copy.deepcopy(part) or {} for name, part in config.items() if name != "sluice"}
    main = own.setdefault("lithops", {})
    main.setdefault("backend", "localhost")
    main.setdefault("data_cleaner", False)  # no process that outlives us: see close()
    if main["backend"] == "localhost":
        main.setdefault("storage", "localhost")
        local = own.setdefault("localhost", {})
        local.setdefault("version", 1)  # version 2 starts an interpreter for every task
        local.setdefault("runtime", sys.executable)
        local.setdefault("worker_processes", workers)  # fixed for the executor's life, so the most a plan may choose
    return own


def _endpoints(config: Config) -> dict[str, Any]:
    """Where the running lake of this configuration can be reached; empty if none runs."""
    try:
        return msgspec.json.decode((config.folder / "endpoints.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        return {}


def _api(config: Config) -> str:
    return str(_endpoints(config).get("http") or f"http://{config.http.host}:{config.http.port}")


def _store(config: Config) -> dict[str, str]:
    """The object store's endpoint and keys: the configured one, else the embedded door."""
    wanted = config.objects
    if wanted.endpoint:
        return {name: getattr(wanted, name) for name in ENVIRONMENT}
    access, secret = door_keys(config)
    endpoint = str(_endpoints(config).get("s3") or f"http://{config.door.host}:{config.door.port}")
    return {"endpoint": endpoint, "access_key": access, "secret_key": secret, "region": config.door.region}
