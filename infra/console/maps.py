"""``sluice map``: a function over the slices of objects, planned, run by Lithops, and learned from."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from infra.console import text
from infra.console.client import Complaint
from infra.console.plan import Deadline, Memory, Objective, Slices, Workers, basis_of, interval
from infra.console.session import Session, command, mapping
from infra.console.stage import Condition, Form, condition


@command
def map_(
    session: Session,
    function: Annotated[
        str, typer.Argument(metavar="MODULE:FUNCTION", help="It gets each slice opened, and returns a result.")
    ],
    objects: Annotated[list[str], typer.Argument(metavar="s3://BUCKET/KEY...")],
    objective: Objective = "balanced",
    deadline: Deadline = None,
    slices: Slices = 0,
    workers: Workers = 0,
    memory: Memory = 0,
    columns: Annotated[str, typer.Option(metavar="NAME,...", help="Read only these columns.", show_default=False)] = "",
    where: Condition = [],  # noqa: B006
    into: Annotated[
        str, typer.Option(metavar="s3://BUCKET/PREFIX", help="Write each result as an object below it.", show_default=False)
    ] = "",
    form: Form = "parquet",
    dataset: Annotated[
        str, typer.Option("--dataset", metavar="NAME", help="The data set that these objects make.", show_default=False)
    ] = "",
) -> None:
    """Run a function over the slices of objects with Lithops; the results come in the order of the slices."""
    if dataset and not into:
        raise Complaint("--dataset needs --into: say where its objects are to be written")
    from functions.planner.dataset import split_address

    for each in objects:
        split_address(each)  # raises for what Lithops would take for plain data
    task, conditions = find_function(function), [condition(one) for one in where]
    names = [name.strip() for name in columns.split(",")] if columns else None
    from infra.runtime.lithops import SluiceExecutor

    file = str(session.config_file) if session.config_file else None
    shown = False if session.json else None
    with SluiceExecutor(sluice=session.config, config_file=file, url=session.endpoints.http, progress=shown) as executor:
        run = executor.map(
            task, objects, objective=objective, deadline=deadline, slices=slices, workers=workers, memory=memory,
            columns=names, where=conditions, into=into, form=form, dataset=dataset,
        )  # fmt: skip
        with mapping(function):
            results = run.result()
        statistics, plan = run.statistics, msgspec.to_builtins(run.plan)
    if session.json:
        session.answer(
            {"results": [plain(vars(result) if into else result) for result in results], "plan": plan, "executed": statistics}
        )
        return
    for result in results:
        typer.echo(f"s3://{result.bucket}/{result.key}" if into else result)
    known = "not predicted"
    if time := plan.get("time_s"):
        first = max(statistics.predicted_s - time["value"], 0.0)  # a first wave that was measured was over by then
        whole = {bound: value + first for bound, value in time.items()}
        known = f"predicted {interval(whole, text.seconds)}, from {basis_of(plan)}"
    how = f"{text.count(len(results), 'slice')}, {text.count(plan['workers'], 'worker')}"
    session.err.print(f"{how}, {text.seconds(statistics.seconds)} ({known})", markup=False)


def find_function(name: str) -> Callable[..., Any]:
    """``MODULE:FUNCTION`` from the installed packages or the present folder. Raises ``Complaint``."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise Complaint(f"{name!r} names no function: write MODULE:FUNCTION")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise Complaint(f"there is no module {error.name!r} here, asked for by {name}") from error
    except AttributeError as error:
        raise Complaint(f"the module {module} has no {attribute}") from error
    if not callable(found):
        raise Complaint(f"{name} is no function")
    return found  # type: ignore[no-any-return]


def plain(result: Any) -> Any:
    """A result as JSON values, NumPy's numbers and arrays too; the text of anything else."""
    try:
        return msgspec.json.decode(msgspec.json.encode(result, enc_hook=_of_numpy))
    except (TypeError, ValueError):
        return repr(result)


def _of_numpy(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError
