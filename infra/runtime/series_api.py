"""The API's part about time series: points in by line protocol and remote write, answers out as JSON or CSV."""

from __future__ import annotations

import csv
import io
import re
import zlib
from typing import Any, get_args

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from events.event import instant
from infra.lake import Lake
from infra.runtime.answers import number, reply
from infra.runtime.operation import Operation
from infra.series.service import SeriesService
from infra.series.store import Points, Select
from infra.series.windows import Function

#: The largest body of points, packed and unpacked, in bytes.
MOST = 32 << 20
#: How many of a body's errors are told.
MOST_TOLD = 100
DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
FUNCTIONS = ("last", "raw", *get_args(Function), "moving_average", "rate")
PARAMETERS = {"metric", "tag", "fn", "start", "end", "interval", "window", "by", "format"}


class SeriesApi:
    """The two write paths of InfluxDB, that of Prometheus, and ``/series``. Series have no access lists of their own."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def operations(self) -> list[Operation]:
        return [
            Operation("POST", "/write", "events", self.write, status=204, query=("precision",)),
            Operation("POST", "/api/v2/write", "events", self.write, status=204, query=("precision",)),
            Operation("POST", "/api/v1/write", "events", self.remote, status=204),
            Operation("GET", "/series", "read", self.listed, query=("metric", "tag", "limit")),
            Operation("GET", "/series/query", "read", self.query, query=tuple(sorted(PARAMETERS))),
        ]

    def _service(self) -> SeriesService:
        if self._lake.series is None:
            raise HTTPException(404, "this process has no series open")
        return self._lake.series

    async def write(self, request: Request) -> Response:
        """Take points in line protocol. Good lines are taken, also beside bad ones, which are told on with 400."""
        body = await _points(request)
        precision = request.query_params.get("precision", "")
        taken, errors = await run_in_threadpool(self._service().write_lines, body, precision)
        if not errors:
            return Response(status_code=204)
        first = errors[0]
        told = [{"line": each.line, "error": each.error} for each in errors[:MOST_TOLD]]
        text = f"partial write: {first.error}" + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else "")
        answer = {"error": text, "code": "invalid", "message": text, "line": first.line, "accepted": taken, "errors": told}
        return reply(answer, 400)

    async def remote(self, request: Request) -> Response:
        """Take points as Prometheus' remote write sends them."""
        body = await _body(request)
        taken, errors = await run_in_threadpool(self._service().write_remote, body)
        if not errors:
            return Response(status_code=204)
        return reply({"error": f"partial write: {errors[0]}", "accepted": taken, "errors": errors[:MOST_TOLD]}, 400)

    async def listed(self, request: Request) -> Response:
        """List the series of a metric, or all."""
        limit = number(request, "limit", 1000)
        metric = request.query_params.get("metric", "")
        found = await run_in_threadpool(self._service().store.series, metric, _tags(request))
        shown = [{"metric": each.metric, "tags": dict(each.tags)} for each in found[:limit]]
        return reply({"series": shown, "total": len(found)})

    async def query(self, request: Request) -> Response:
        """Ask for last values, raw points, aggregates of intervals, moving averages or rates."""
        unknown = set(request.query_params) - PARAMETERS
        if unknown:
            names = ", ".join(sorted(unknown))
            raise HTTPException(400, f"unknown parameters {names}; known: {', '.join(sorted(PARAMETERS))}")
        found = await run_in_threadpool(_query, self._service(), request)
        if request.query_params.get("format", "json") == "csv":
            return Response(_csv(found), media_type="text/csv")
        return reply({"series": [each.shown() for each in found]})


def _query(service: SeriesService, request: Request) -> list[Points]:
    asked = request.query_params
    metric, function = asked.get("metric", ""), asked.get("fn", "last")
    if not metric:
        raise HTTPException(400, "metric= is missing: GET /series lists which there are")
    if function not in FUNCTIONS:
        raise HTTPException(400, f"fn={function!r} is none of {', '.join(FUNCTIONS)}")
    store, select = service.store, Select(metric, _tags(request))
    if function == "last" and "interval" not in asked:
        return store.last(select)
    now = service.now()
    end = _time("end", asked.get("end", ""), now) if "end" in asked else now + 1
    start = _time("start", asked.get("start", "-1h"), now)
    if function == "raw":
        return store.range(select, start, end)
    interval = _duration("interval", asked.get("interval", "1m"))
    if function == "moving_average":
        return store.moving_average(select, start, end, _duration("window", asked.get("window", "5m")), interval)
    if function == "rate":
        return store.rate(select, start, end, interval)
    by = [name for text in asked.getlist("by") for name in text.split(",") if name] if "by" in asked else None
    kind: Any = function
    return service.rollup.aggregate(select, start, end, interval, kind, by, now)


def _csv(found: list[Points]) -> str:
    out = io.StringIO()
    names = sorted({name for each in found for name, _ in each.tags})
    writer = csv.writer(out)
    writer.writerow(["metric", *names, "time", "value"])
    for each in found:
        tags = dict(each.tags)
        before = [each.metric, *(tags.get(name, "") for name in names)]
        writer.writerows([*before, time, value] for time, value in zip(each.time.tolist(), each.value.tolist(), strict=True))
    return out.getvalue()


def _tags(request: Request) -> tuple[tuple[str, str], ...]:
    """``tag=NAME=VALUE``, any number of times."""
    pairs = [text.partition("=") for text in request.query_params.getlist("tag")]
    for name, equals, value in pairs:
        if not name or not equals:
            raise HTTPException(400, f"tag={name + value!r} should be tag=NAME=VALUE")
    return tuple(sorted((name, value) for name, _, value in pairs))


def _duration(name: str, text: str) -> int:
    """``90s``, ``5m``, ``1.5h`` in milliseconds."""
    found = DURATION.fullmatch(text)
    if found is None or len(text) > 16 or (length := round(float(found[1]) * UNITS[found[2]])) < 1:
        raise HTTPException(400, f"{name}={text!r} should be a length of time: 500ms, 30s, 5m, 1h, 7d, 2w")
    return length


def _time(name: str, text: str, now: int) -> int:
    """A time in ms since 1970: as that number, as RFC 3339, or before now (``-2h``)."""
    if text.startswith("-") and DURATION.fullmatch(text[1:]):
        return now - _duration(name, text[1:])
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text)
    try:
        moment = instant(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise HTTPException(400, f"{name}={text!r} should be RFC 3339 with a zone, milliseconds since 1970, or like -2h")
    return round(moment.timestamp() * 1000)


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST:
            raise HTTPException(413, f"the body is larger than {MOST} bytes: send it in parts")
    return bytes(data)


async def _points(request: Request) -> bytes:
    """The body of a write, unpacked if it says that it is packed."""
    data = await _body(request)
    encoding = request.headers.get("content-encoding", "identity")
    if encoding == "identity":
        return data
    if encoding != "gzip":
        raise HTTPException(415, f"content-encoding: {encoding} is not taken; send gzip or none")
    try:
        unpack = zlib.decompressobj(31)
        data = unpack.decompress(data, MOST + 1)
        whole = unpack.eof
    except zlib.error as error:
        raise HTTPException(400, f"the body is no gzip: {error}") from error
    if len(data) > MOST:
        raise HTTPException(413, f"the body is larger than {MOST} bytes unpacked: send it in parts")
    if not whole:
        raise HTTPException(400, "the body is no whole gzip: it was cut off")
    return data
