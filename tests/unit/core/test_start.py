"""What a program loads when it starts: the libraries that all its users need, and none that only some do."""

from __future__ import annotations

import subprocess
import sys

import pytest

FITTING = {"scipy", "pandas", "torch", "astropy", "onnx", "onnxruntime", "casacore", "dp3"}
CLIENTS = {"psycopg", "redis", "minio", "cramjam", "alembic"}
SERVING = {"sqlalchemy", "boto3", "numpy", "pyarrow", "duckdb", "rdflib", "uvicorn", "starlette", "lithops"}
EVENTS = {"infra.runtime.embedded", "events.event", "sqlite3", "numpy.typing"}
ALL = "from infra.cli import application; application()"
SERVE = "import infra.objects.s3, infra.runtime.listen, infra.runtime.logs, infra.serving.server"
FUNCTIONS = "import infra.runtime.knative, infra.runtime.aws_lambda"
LAKE = "import infra.runtime.embedded, functions, infra.runtime.wiring as wiring; wiring.load(functions.FUNCTIONS)"


@pytest.mark.parametrize(
    ("start", "needless"),
    [
        (ALL, FITTING | CLIENTS | SERVING),
        ("from infra.cli import application; application('ls')", {"infra.console.train", "infra.console.serve"}),
        (SERVE, EVENTS | CLIENTS | {"starlette", "sqlalchemy", "rdflib", "pyarrow", "infra.console.train"}),
        (FUNCTIONS, FITTING | CLIENTS | (SERVING - {"uvicorn"}) | {"httpx", "infra.lake"}),
        (LAKE, FITTING | CLIENTS),
    ],
    ids=["the command line", "one command", "a server of models", "a container of functions", "a lake"],
)
def test_a_start_loads_no_library_that_only_some_need(start: str, needless: set[str]) -> None:
    program = f"import sys\n{start}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert needless & set(done.stdout.split()) == set()
