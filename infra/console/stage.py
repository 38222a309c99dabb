"""``sluice stage``: data sets made of data sets. An input is an object, a prefix that ends with "/", or a data set."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
import yaml

from infra.console import text
from infra.console.client import Client, Complaint
from infra.console.plan import Deadline, Memory, Objective, Slices, Workers
from infra.console.session import Session, command, mapping

if TYPE_CHECKING:
    from infra.runtime.lithops import SluiceExecutor
    from infra.staging.operations import Output, Staged

app = typer.Typer(help="Data sets made of data sets, by planned maps.", no_args_is_help=True)
Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="s3://BUCKET/KEY, s3://BUCKET/PREFIX/ or a data set.")]
Into = Annotated[str, typer.Option(metavar="s3://BUCKET/PREFIX", help="Where the objects go, below a prefix of this run.")]
DataSet = Annotated[str, typer.Option("--data-set", metavar="NAME", help="The data set that they make.", show_default=False)]
Form = Annotated[str, typer.Option(help="parquet, csv or jsonl.")]
Condition = Annotated[
    list[str], typer.Option("--where", metavar="'COLUMN OP VALUE'", help="OP: == != < <= > >= in, not in.", show_default=False)
]
_CONDITION = re.compile(r"^\s*(.+?)\s*(==|!=|<=|>=|=|<|>|\bnot\s+in\b|\bin\b)\s*(.+?)\s*$")


@dataclass(frozen=True)
class Stage:
    """An operation about to run: its executor and the API, the inputs' objects, where the result goes, and how to run."""

    session: Session
    executor: SluiceExecutor
    api: Client
    objects: list[str]
    output: Output
    plan: dict[str, Any]

    def run(self, name: str, *more: Any, **options: Any) -> None:
        """Run one of ``infra.staging.operations``, and show what was made."""
        from infra.staging import operations

        with mapping(name):
            staged: Staged = getattr(operations, name)(self.executor, self.objects, *more, self.output, **options, **self.plan)
        objects = [msgspec.to_builtins(vars(one)) for one in staged.objects]
        if self.session.json:
            self.session.answer({"run": staged.run, "data-set": self.output.dataset, "objects": objects})
            return
        for one in objects:
            typer.echo(f"s3://{one['bucket']}/{one['key']} ({text.count(one['rows'], 'row')}, {text.size(one['size'])})")


@contextmanager
def staging(
    session: Session, inputs: Inputs, into: Into, data_set: DataSet = "", form: Form = "parquet",
    objective: Objective = "balanced", deadline: Deadline = None, slices: Slices = 0, workers: Workers = 0, memory: Memory = 0,
) -> Iterator[Stage]:  # fmt: skip
    """What every operation is given and needs."""
    from infra.runtime.lithops import SluiceExecutor
    from infra.staging.inputs import objects_of
    from infra.staging.operations import Output

    plan = {"objective": objective, "deadline": deadline, "slices": slices, "workers": workers, "memory": memory}
    file = str(session.config_file) if session.config_file else None
    shown = False if session.json else None
    with (
        session.api() as api,
        SluiceExecutor(sluice=session.config, config_file=file, url=session.endpoints.http, progress=shown) as executor,
    ):
        yield Stage(session, executor, api, objects_of(api, inputs), Output(into, data_set, form), plan)


def operation(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function whose first parameter is the ``Stage``; the options of ``staging`` come before its own."""
    common = inspect.signature(staging, eval_str=True).parameters.values()
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

    def run(session: Session, **given: Any) -> None:
        mine = {each.name: given.pop(each.name) for each in own}
        with staging(session, **given) as stage:
            function(stage, **mine)

    run.__signature__ = inspect.Signature([*common, *own])  # type: ignore[attr-defined]
    run.__name__, run.__doc__ = function.__name__, function.__doc__
    return command(run)


def condition(text: str) -> tuple[str, str, Any]:
    """``flux > 1.5`` or ``band in [g, r]`` as a condition; the value is YAML. Raises ``Complaint``."""
    found = _CONDITION.match(text)
    if found is None:
        raise Complaint(f"{text!r} is no condition: write 'COLUMN OP VALUE', such as 'flux > 1.5' or 'band in [g, r]'")
    column, operator, value = found.groups()
    try:
        return column, {"=": "=="}.get(operator, " ".join(operator.split())), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise Complaint(f"the value in {text!r} cannot be read: {error}") from error


def bytes_of(size: str) -> int:
    """``128MB``, ``1GiB`` or a number of bytes. Raises ``Complaint``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKMG]?)(i?)B?", size.strip())
    if found is None or not float(found[1]):
        raise Complaint(f"{size!r} is no size: write a number of bytes, or such as 128MB or 1GiB")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** " KMG".index((found[2] or " ").upper()))


@app.command("filter")
@operation
def filter_(
    stage: Stage,
    *,
    where: Condition = [],  # noqa: B006
    sql: Annotated[str, typer.Option(metavar="EXPRESSION", help="A condition in SQL.", show_default=False)] = "",
) -> None:
    """Keep the rows that meet all conditions."""
    stage.run("filter", where=[condition(one) for one in where], sql=sql)


@app.command("select")
@operation
def select(
    stage: Stage,
    *,
    column: Annotated[list[str], typer.Option(help="A column, or an SQL expression AS a name; in this order.")],
) -> None:
    """Keep or compute columns."""
    stage.run("select", columns=column)


@app.command("aggregate")
@operation
def aggregate(
    stage: Stage,
    *,
    value: Annotated[list[str], typer.Option(metavar="[NAME=]FUNCTION(COLUMN)", help="count, sum, min, max or avg.")],
    by: Annotated[list[str], typer.Option(metavar="COLUMN", help="Group by it.", show_default=False)] = [],  # noqa: B006
) -> None:
    """Aggregate rows, by groups; exact however the data are cut."""
    from functions.tables.aggregate import value_of

    stage.run("aggregate", values=[value_of(one) for one in value], by=by)


@app.command("combine")
@operation
def combine(
    stage: Stage,
    *,
    join: Annotated[list[str], typer.Option(metavar="INPUT", help="Join with this: no union.", show_default=False)] = [],  # noqa: B006
    on: Annotated[list[str], typer.Option(metavar="COLUMN", help="Join where it is equal.", show_default=False)] = [],  # noqa: B006
    how: Annotated[str, typer.Option(help="inner, left, semi or anti.")] = "inner",
) -> None:
    """The rows of all inputs as one table, or joined with another table."""
    from infra.staging.inputs import objects_of, schema_of

    if join:
        stage.run("join", objects_of(stage.api, join), on=on, how=how)
    else:
        stage.run("union", schema=schema_of(stage.api, stage.objects))


@app.command("convert")
@operation
def convert(stage: Stage) -> None:
    """The same rows in another form."""
    stage.run("convert")


@app.command("repartition")
@operation
def repartition(
    stage: Stage,
    *,
    parts: Annotated[int, typer.Option(min=0, help="So many objects.", show_default=False)] = 0,
    size: Annotated[str, typer.Option(help="Objects of about this size, such as 128MB.", show_default=False)] = "",
) -> None:
    """The same rows in another number of objects."""
    stage.run("repartition", parts=parts, size=bytes_of(size) if size else 0)
