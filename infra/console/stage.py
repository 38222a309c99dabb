"""``sluice stage``: data sets made of data sets. An input is an object, a prefix that ends with "/", or a data set."""

from __future__ import annotations

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
from infra.console.session import Session, command

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
    """A session with an executor, the API, and where the result goes."""

    session: Session
    executor: SluiceExecutor
    api: Client
    output: Output

    def objects(self, inputs: list[str]) -> list[str]:
        """The addresses of the inputs' objects."""
        from infra.staging.inputs import objects_of

        return objects_of(self.api, inputs)

    def done(self, staged: Staged) -> None:
        """Show what was made."""
        objects = [msgspec.to_builtins(vars(one)) for one in staged.objects]
        if self.session.json:
            self.session.answer({"run": staged.run, "data-set": self.output.dataset, "objects": objects})
            return
        for one in objects:
            typer.echo(f"s3://{one['bucket']}/{one['key']} ({text.count(one['rows'], 'row')}, {text.size(one['size'])})")


@contextmanager
def staging(session: Session, into: str, dataset: str, form: str) -> Iterator[Stage]:
    """What an operation needs."""
    from infra.runtime.lithops import SluiceExecutor
    from infra.staging.operations import Output

    file = str(session.config_file) if session.config_file else None
    shown = False if session.json else None
    with (
        session.api() as api,
        SluiceExecutor(sluice=session.config, config_file=file, url=session.endpoints.http, progress=shown) as executor,
    ):
        yield Stage(session, executor, api, Output(into, dataset, form))


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


def _plan(objective: str, deadline: float | None, slices: int, workers: int, memory: int) -> dict[str, Any]:
    return {"objective": objective, "deadline": deadline, "slices": slices, "workers": workers, "memory": memory}


def _operation(name: str) -> Callable[..., Any]:
    from infra.staging import operations

    found: Callable[..., Any] = getattr(operations, name)
    return found


@app.command("filter")
@command
def filter_(
    session: Session, inputs: Inputs, into: Into, where: Condition = [],  # noqa: B006
    sql: Annotated[str, typer.Option(metavar="EXPRESSION", help="A condition in SQL.", show_default=False)] = "",
    data_set: DataSet = "", form: Form = "parquet", objective: Objective = "balanced", deadline: Deadline = None,
    slices: Slices = 0, workers: Workers = 0, memory: Memory = 0,
) -> None:  # fmt: skip
    """Keep the rows that meet all conditions."""
    conditions = [condition(one) for one in where]
    with staging(session, into, data_set, form) as stage:
        plan = _plan(objective, deadline, slices, workers, memory)
        stage.done(_operation("filter")(stage.executor, stage.objects(inputs), stage.output, where=conditions, sql=sql, **plan))


@app.command("select")
@command
def select(
    session: Session, inputs: Inputs, into: Into,
    column: Annotated[list[str], typer.Option(help="A column, or an SQL expression AS a name; in this order.")],
    data_set: DataSet = "", form: Form = "parquet", objective: Objective = "balanced", deadline: Deadline = None,
    slices: Slices = 0, workers: Workers = 0, memory: Memory = 0,
) -> None:  # fmt: skip
    """Keep or compute columns."""
    with staging(session, into, data_set, form) as stage:
        plan = _plan(objective, deadline, slices, workers, memory)
        stage.done(_operation("select")(stage.executor, stage.objects(inputs), stage.output, columns=column, **plan))


@app.command("aggregate")
@command
def aggregate(
    session: Session, inputs: Inputs, into: Into,
    value: Annotated[list[str], typer.Option(metavar="[NAME=]FUNCTION(COLUMN)", help="count, sum, min, max or avg.")],
    by: Annotated[list[str], typer.Option(metavar="COLUMN", help="Group by it.", show_default=False)] = [],  # noqa: B006
    data_set: DataSet = "", form: Form = "parquet", objective: Objective = "balanced", deadline: Deadline = None,
    slices: Slices = 0, workers: Workers = 0, memory: Memory = 0,
) -> None:  # fmt: skip
    """Aggregate rows, by groups; exact however the data are cut."""
    from functions.tables.aggregate import value_of

    values = [value_of(one) for one in value]
    with staging(session, into, data_set, form) as stage:
        plan = _plan(objective, deadline, slices, workers, memory)
        stage.done(_operation("aggregate")(stage.executor, stage.objects(inputs), stage.output, values=values, by=by, **plan))


@app.command("combine")
@command
def combine(
    session: Session, inputs: Inputs, into: Into,
    join: Annotated[list[str], typer.Option(metavar="INPUT", help="Join with this: no union.", show_default=False)] = [],  # noqa: B006
    on: Annotated[list[str], typer.Option(metavar="COLUMN", help="Join where it is equal.", show_default=False)] = [],  # noqa: B006
    how: Annotated[str, typer.Option(help="inner, left, semi or anti.")] = "inner",
    data_set: DataSet = "", form: Form = "parquet", objective: Objective = "balanced", deadline: Deadline = None,
    slices: Slices = 0, workers: Workers = 0, memory: Memory = 0,
) -> None:  # fmt: skip
    """The rows of all inputs as one table, or joined with another table."""
    from infra.staging.inputs import schema_of

    with staging(session, into, data_set, form) as stage:
        plan, objects = _plan(objective, deadline, slices, workers, memory), stage.objects(inputs)
        if join:
            others = stage.objects(join)
            stage.done(_operation("join")(stage.executor, objects, others, stage.output, on=on, how=how, **plan))
        else:
            schema = schema_of(stage.api, objects)
            stage.done(_operation("union")(stage.executor, objects, stage.output, schema=schema, **plan))


@app.command("convert")
@command
def convert(
    session: Session, inputs: Inputs, into: Into, form: Form = "parquet", data_set: DataSet = "",
    objective: Objective = "balanced", deadline: Deadline = None, slices: Slices = 0, workers: Workers = 0, memory: Memory = 0,
) -> None:  # fmt: skip
    """The same rows in another form."""
    with staging(session, into, data_set, form) as stage:
        plan = _plan(objective, deadline, slices, workers, memory)
        stage.done(_operation("convert")(stage.executor, stage.objects(inputs), stage.output, **plan))


@app.command("repartition")
@command
def repartition(
    session: Session, inputs: Inputs, into: Into,
    parts: Annotated[int, typer.Option(min=0, help="So many objects.", show_default=False)] = 0,
    size: Annotated[str, typer.Option(help="Objects of about this size, such as 128MB.", show_default=False)] = "",
    data_set: DataSet = "", form: Form = "parquet", objective: Objective = "balanced", deadline: Deadline = None,
    workers: Workers = 0, memory: Memory = 0,
) -> None:  # fmt: skip
    """The same rows in another number of objects."""
    with staging(session, into, data_set, form) as stage:
        plan, objects = _plan(objective, deadline, 0, workers, memory), stage.objects(inputs)
        wanted = bytes_of(size) if size else 0
        stage.done(_operation("repartition")(stage.executor, objects, stage.output, parts=parts, size=wanted, **plan))
