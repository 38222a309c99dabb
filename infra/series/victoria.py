"""Series on a VictoriaMetrics server.

The server answers 204 to what it then drops: malformed lines, too many tags, times out of its range. So only what was validated
is sent, as its own JSON lines. It keeps times in milliseconds, and shows what was written about a second later (or after
``flush``). Of two points with one series and time it keeps one when it runs with ``-dedup.minScrapeInterval=1ms``.
Source: docs.victoriametrics.com, single-node version, "How to import data in JSON line format" and "Prometheus querying API".
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import numpy as np

from events.errors import Reject, Retry
from infra.series import windows
from infra.series.batch import Batch, Series
from infra.series.retention import AHEAD, Retention, Tier, tier
from infra.series.run import EMPTY, Run
from infra.series.store import Points, Select
from infra.series.windows import Function

#: How many points go in one request.
CHUNK = 200_000
TIMEOUT = httpx.Timeout(30.0, connect=3.0)


class VictoriaSeries:
    """The store at ``url``. Thread-safe. Its own ``-retentionPeriod`` should be the longest of ``retention``."""

    def __init__(self, url: str, retention: Retention) -> None:
        self.url, self._retention = url.rstrip("/"), retention
        self._http = httpx.Client(base_url=self.url, timeout=TIMEOUT, trust_env=False)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="series")

    def write(self, batch: Batch) -> Future[None]:
        return self._pool.submit(self._write, batch)

    def series(self, metric: str = "", tags: Sequence[tuple[str, str]] = ()) -> list[Series]:
        now = _now()
        of: Tier = tier(metric) if metric else "raw"
        where = _matcher(Select(metric, tuple(tags)))
        answer = self._ask("/api/v1/series", {"match[]": where, **_times(self._retention.oldest(of, now), now + AHEAD)})
        found = (_series(labels) for labels in json.loads(answer)["data"])
        return sorted(each for each in found if metric or tier(each.metric) == "raw")

    def last(self, select: Select) -> list[Points]:
        now = _now()
        end = now + AHEAD
        window = f"{_matcher(select)}[{end - self._retention.oldest(tier(select.metric), now)}ms]"
        at = {"time": f"{end / 1000:.3f}"}
        values = dict(self._instant(f"last_over_time({window})", at))
        times = dict(self._instant(f"tlast_over_time({window})", at))
        return [
            Points(select.metric, tags, np.array([round(times[tags] * 1000)], np.int64), np.array([values[tags]]))
            for tags in sorted(values.keys() & times.keys())
        ]

    def range(self, select: Select, start: int, end: int) -> list[Points]:
        run, names = self._export(select, start, end)
        return _named(run, names, windows.whole(run))

    def aggregate(
        self, select: Select, start: int, end: int, interval: int, function: Function, by: Sequence[str] | None = None
    ) -> list[Points]:
        start, end = windows.intervals(start, end, interval)
        start = max(start, self._retention.oldest(tier(select.metric), _now()) // interval * interval)
        if by is not None and function == "last":
            raise Reject("several series have no last value: ask for last without by, or for another function")

        def over(name: str) -> str:
            return f"{name}_over_time({_matcher(select)}[{interval}ms])"

        if by is None:
            query = over(function)
        else:
            tags = ",".join(map(_name, by))
            if function == "avg":
                query = f"sum({over('sum')}) by ({tags}) / sum({over('count')}) by ({tags})"
            else:
                query = f"{'sum' if function == 'count' else function}({over(function)}) by ({tags})"
        # The window of t is (t - interval, t]: at the last millisecond of ours they are the same.
        return self._range(select.metric, query, start + interval - 1, end, interval, interval - 1)

    def moving_average(self, select: Select, start: int, end: int, window: int, step: int) -> list[Points]:
        windows.steps(start, end, step)
        return self._range(select.metric, f"avg_over_time({_matcher(select)}[{window}ms])", start, end, step, 0)

    def rate(self, select: Select, start: int, end: int, interval: int) -> list[Points]:
        start, end = windows.intervals(start, end, interval)
        run, names = self._export(select, start - interval, end)  # its own rate() counts empty windows and guesses gaps
        return _named(run, names, windows.rate(run, start, interval))

    def flush(self) -> None:
        self._ask("/internal/force_flush", {})

    def maintain(self, now: int) -> None:
        """The server looks after its files itself."""

    @property
    def full(self) -> bool:
        """Nothing waits here."""
        return False

    def status(self) -> dict[str, Any]:
        """Where it is."""
        return {"url": self.url}

    def close(self) -> None:
        self._pool.shutdown()
        self._http.close()

    def _write(self, batch: Batch) -> None:
        run = Run.of(batch.which, batch.time, batch.value)
        lines: list[bytes] = []
        points = 0
        for place, number in enumerate(run.ids.tolist()):
            part = slice(int(run.starts[place]), int(run.starts[place + 1]))
            name = batch.series[number]
            line = {
                "metric": {"__name__": name.metric, **dict(name.tags)},
                "values": run.value[part].tolist(),
                "timestamps": run.time[part].tolist(),
            }
            lines.append(msgspec.json.encode(line))
            points += part.stop - part.start
            if points >= CHUNK:
                self._send(lines)
                lines, points = [], 0
        if lines:
            self._send(lines)

    def _send(self, lines: list[bytes]) -> None:
        self._done("POST", "/api/v1/import", content=b"\n".join(lines) + b"\n")

    def _range(self, metric: str, query: str, start: int, end: int, step: int, shift: int) -> list[Points]:
        last = start + (end - 1 - start) // step * step
        answer = self._ask("/api/v1/query_range", {"query": query, **_times(start, last), "step": f"{step}ms", "nocache": "1"})
        found: list[Points] = []
        for each in msgspec.json.decode(answer, type=_Answer).data.result:
            moments = np.array([moment for moment, _ in each.values], np.float64)
            values = np.array([float(value) for _, value in each.values], np.float64)
            there = ~np.isnan(values)
            if there.any():
                times = np.rint(moments[there] * 1000).astype(np.int64) - shift
                found.append(Points(metric, _tags(each.metric), times, values[there]))
        return sorted(found, key=lambda points: points.tags)

    def _instant(self, query: str, at: dict[str, str]) -> Iterator[tuple[tuple[tuple[str, str], ...], float]]:
        answer = self._ask("/api/v1/query", {"query": query, **at, "step": "1ms", "nocache": "1"})
        for each in json.loads(answer)["data"]["result"]:
            yield _tags(each["metric"]), float(each["value"][1])

    def _export(self, select: Select, start: int, end: int) -> tuple[Run, list[Series]]:
        start = max(start, self._retention.oldest(tier(select.metric), _now()))
        if end <= start:
            return EMPTY, []
        body = self._ask("/api/v1/export", {"match[]": _matcher(select), **_times(start, end - 1)})
        lines = [msgspec.json.decode(line, type=_Line) for line in body.splitlines() if line]
        if not lines:
            return EMPTY, []
        names = [_series(line.metric) for line in lines]
        which = np.repeat(np.arange(len(lines)), [len(line.values) for line in lines])
        times = np.concatenate([np.array(line.timestamps, np.int64) for line in lines])
        return Run.of(which, times, np.concatenate([np.array(line.values, np.float64) for line in lines])), names

    def _ask(self, path: str, form: dict[str, str]) -> bytes:
        return self._done("POST", path, data=form)

    def _done(self, method: str, path: str, **more: Any) -> bytes:
        try:
            answer = self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            raise Retry(f"VictoriaMetrics at {self.url} does not answer: {error or type(error).__name__}") from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise Retry(f"VictoriaMetrics at {self.url} answers {answer.status_code}: {answer.text[:300]}")
        if not answer.is_success:
            raise Reject(f"VictoriaMetrics at {self.url} refuses {path}: {answer.text[:300]}")
        return answer.content


class _Line(msgspec.Struct):
    metric: dict[str, str]
    values: list[float]
    timestamps: list[int]


class _Result(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Data(msgspec.Struct):
    result: list[_Result]


class _Answer(msgspec.Struct):
    data: _Data


def _matcher(select: Select) -> str:
    name = f"__name__={_quoted(select.metric)}" if select.metric else '__name__!=""'
    return "{" + ",".join([name, *(f"{_name(tag)}={_quoted(value)}" for tag, value in select.tags)]) + "}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _name(text: str) -> str:
    """A tag's name in MetricsQL: what is not of a plain name stands behind a backslash."""
    return re.sub(r"^[0-9]|[^A-Za-z0-9_]", lambda found: "\\" + found.group(), text)


def _times(start: int, end: int) -> dict[str, str]:
    return {"start": f"{start / 1000:.3f}", "end": f"{end / 1000:.3f}"}


def _series(labels: dict[str, str]) -> Series:
    return Series(labels.get("__name__", ""), _tags(labels))


def _tags(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in labels.items() if name != "__name__"))


def _named(run: Run, names: list[Series], columns: Sequence[windows.Column]) -> list[Points]:
    found = (Points.of(names[run.ids[each.group]], each.time, each.value) for each in columns)
    return sorted(found, key=lambda points: points.tags)


def _now() -> int:
    return time.time_ns() // 1_000_000
