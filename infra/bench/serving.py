"""Our server beside KServe's own model server: requests/s and CPU per request over loopback, the same model and payloads.

    python -m infra.bench.serving [--rounds 3] [--seconds 3] [--connections 8]

The model is a perceptron 784-128-128-10; both run ONNX Runtime on one thread. Every server runs on one core, wrk on another;
the sides take turns and the best window of each counts. ``vs_kserve_...``: ours / theirs, in requests/s (``cpu_...``: theirs /
ours, in CPU a request). ``binary1_vs_raw``: CPU of a request with a raw tensor / CPU of ``session.run`` alone.
``cached_vs_fresh``: requests/s for a materialised result / for the same inference as JSON. ``health_p99_ms``: of probes while
eight clients send batches of 32 as JSON. ``start_vs_kserve``: process start to first answer, theirs / ours
(``cpu_start_vs_kserve``: in CPU seconds), both installed, with their byte code there. KServe's server listens on every
interface; here it is kept to loopback. ``load_vs_file``: see ``serving_load.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from functions.repository import layout, sidecar
from infra.bench import serving_load
from infra.bench.load import DONE, Side, Unmeasured, Window, programs, running, wrk
from infra.bench.peers import ROOT, Peer, prepare
from infra.bench.table import report

GOALS = {"vs_kserve_json1": 8, "vs_kserve_binary32": 30, "cached_vs_fresh": 3, "start_vs_kserve": 4, "load_vs_file": 1.5}
LIMITS = {"binary1_vs_raw": 5, "health_p99_ms": 20}
#: How often each side is started to be measured, once it was started before.
STARTS = 6
REQUIREMENTS = ROOT / "infra" / "deploy" / "kserve" / "requirements.txt"
#: KServe's model server as its documentation writes one, on loopback.
KSERVE = """
import sys
import onnxruntime, uvicorn
from kserve import InferOutput, InferResponse, Model, ModelServer

class Config(uvicorn.Config):
    def __init__(self, *args, **more):
        super().__init__(*args, **{**more, "host": "127.0.0.1"})

uvicorn.Config = Config
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1

class Mlp(Model):
    def load(self):
        self.session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
        self.ready = True

    def predict(self, payload, headers=None):
        (found,) = self.session.run(None, {"x": payload.inputs[0].as_numpy()})
        output = InferOutput("y", list(found.shape), "FP32")
        output.set_data_from_numpy(found, binary_data=bool((payload.parameters or {}).get("binary_data_output")))
        return InferResponse(response_id=payload.id or "0", model_name=self.name, infer_outputs=[output])

model = Mlp("mlp")
model.load()
ModelServer(http_port=int(sys.argv[2]), enable_grpc=False, workers=1).start([model])
"""
PEERS = {
    "ours": Peer("from infra.bench.serving_ours import main\n\nmain()\n", ["main.py", "{folder}", "{port}"]),
    "kserve": Peer(
        KSERVE, ["main.py", "{folder}/mlp/1/model.onnx", "{port}"],
        # what infra.serving.kserve_model needs too: the tests run it in the same environment
        [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")],
    ),
}  # fmt: skip
RAW = """
import sys, time
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
x = numpy.random.default_rng(1).random((1, 784), "f4")
end, count, start = time.monotonic() + float(sys.argv[2]), 0, time.process_time()
while time.monotonic() < end:
    for _ in range(100):
        session.run(["y"], {"x": x})
    count += 100
print((time.process_time() - start) / count)
"""
_SCRIPT = """
wrk.method = "POST"
local file = io.open({body}, "rb")
wrk.body = file:read("*a")
{headers}
"""


@dataclass
class Server:
    """A running side and its best windows: the highest rate, with its latencies, and the least CPU, of each payload."""

    side: Side
    windows: dict[str, Window] = field(default_factory=dict)

    def keep(self, name: str, found: Window) -> None:
        """Take note of a window."""
        best = self.windows.setdefault(name, found)
        faster = max(best, found, key=lambda window: window.rate)
        self.windows[name] = faster._replace(cpu=min(best.cpu, found.cpu))


def mlp(seed: int = 7) -> bytes:
    """A perceptron 784-128-128-10 with random weights: ``y = softmax(...)`` of rows ``x``."""
    random, nodes, weights, last = np.random.default_rng(seed), [], [], "x"
    for number, (rows, columns) in enumerate([(784, 128), (128, 128), (128, 10)]):
        matrix = random.normal(0, rows**-0.5, (rows, columns)).astype("f4")
        weights += [
            numpy_helper.from_array(matrix, f"w{number}"),
            numpy_helper.from_array(np.zeros(columns, "f4"), f"b{number}"),
        ]
        nodes.append(helper.make_node("Gemm", [last, f"w{number}", f"b{number}"], [f"h{number}"]))
        last = f"a{number}" if number < 2 else "y"
        nodes.append(helper.make_node("Relu" if number < 2 else "Softmax", [f"h{number}"], [last]))
    graph = helper.make_graph(
        nodes, "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 784])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])], weights,
    )  # fmt: skip
    made: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return made


def publish(folder: Path, content: bytes) -> None:
    """Lay the model out as a repository has it."""
    key = layout.file_key("", "mlp", 1)
    record = {"name": "mlp", "version": 1, "key": key, "digest": f"sha256:{_sha256(content)}", "size": len(content),
              "metadata": {"operators": {"Gemm": 3, "Relu": 2, "Softmax": 1}}}  # fmt: skip
    for name, data in ((key, content), (layout.record_key("", "mlp", 1), json.dumps(record).encode())):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        (folder / sidecar.key(name, "sha256")).write_bytes(sidecar.text(_sha256(data), file.name))


def _sha256(data: bytes) -> str:
    made = sidecar.hasher("sha256")
    made.update(data)
    return str(made.hexdigest())


def payloads(folder: Path) -> dict[str, tuple[str, Path]]:
    """Name -> path of the URL and wrk's script, for batches of 1 and 32 rows as JSON and as raw tensors."""
    random, found = np.random.default_rng(1), {}
    for rows in (1, 32):
        values = random.random((rows, 784), "f4")
        told = {"name": "x", "shape": [rows, 784], "datatype": "FP32"}
        flat = json.dumps(
            {"id": "1", "inputs": [{**told, "data": [round(float(each), 6) for each in values.ravel()]}]}
        ).encode()
        raw = json.dumps(
            {
                "id": "1",
                "parameters": {"binary_data_output": True},
                "inputs": [{**told, "parameters": {"binary_data_size": values.nbytes}}],
            }
        ).encode()
        for name, body, headers in (
            (f"json{rows}", flat, {"content-type": "application/json"}),
            (f"binary{rows}", raw + values.tobytes(),
             {"content-type": "application/octet-stream", "inference-header-content-length": str(len(raw))}),
        ):  # fmt: skip
            (folder / name).write_bytes(body)
            lines = "\n".join(f"wrk.headers[{json.dumps(key)}] = {json.dumps(value)}" for key, value in headers.items())
            script = folder / f"{name}.lua"
            script.write_text(_SCRIPT.format(body=json.dumps(str(folder / name)), headers=lines) + DONE)
            found[name] = ("/v2/models/mlp/infer", script)
    (folder / "get.lua").write_text(DONE)
    return found


def installed(folder: Path) -> Path:
    """The Python of an environment that has what this one has, and Sluice as an installation has it: without editable hooks."""
    venv.create(folder, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    there = [each for each in Path(sysconfig.get_path("purelib")).iterdir() if not each.name.startswith("__editable__")]
    for each in (*there, *(ROOT / name for name in ("events", "functions", "infra"))):
        if not (packages / each.name).exists():
            (packages / each.name).symlink_to(each)
    return folder / "bin" / "python"


def started(name: str, core: int, folder: Path) -> contextlib.AbstractContextManager[Side]:
    """A side on this core, from its start to its first answer; byte code stays in ``folder``. Raises ``Unmeasured``."""
    try:
        command, home, _ = prepare(name, PEERS)
    except subprocess.CalledProcessError as error:
        raise Unmeasured(f"{name} could not be installed: {error}") from error
    body = (folder / "json1").read_bytes()

    def make(port: int) -> tuple[list[str], Path, dict[str, str]]:
        python = [str(folder / "installed" / "bin" / "python")] if name == "ours" else command[:1]
        filled = [part.format(port=port, folder=folder / "models") for part in command[1:]]
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        return [*python, *filled], home, {"PYTHONPATH": "", **compiled}

    def ask(client: httpx.Client, url: str) -> httpx.Response:
        return client.post(f"{url}/v2/models/mlp/infer", content=body, headers={"content-type": "application/json"})

    return running(name, make, core, folder / f"{name}.log", ask)


def _starts(name: str, core: int, folder: Path) -> tuple[float, float]:
    """The least seconds, and CPU seconds, that a side needs to its first answer, once its byte code is there."""
    found = []
    for _ in range(1 + STARTS):
        with started(name, core, folder) as side:
            found.append((side.start, side.spent()))
    return min(wall for wall, _ in found[1:]), min(cpu for _, cpu in found[1:])


def _raw(folder: Path, core: int, seconds: float) -> float:
    """CPU seconds of ``session.run`` alone, in a window of the same length."""
    command = ["taskset", "-c", str(core), sys.executable, "-c", RAW, str(folder / "models/mlp/1/model.onnx"), str(seconds)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _kept(side: Side, folder: Path) -> str:
    """Have the question of ``json1`` materialised; the path of the result. Raises ``Unmeasured``."""
    document = {"model": "mlp", "input": json.loads((folder / "json1").read_bytes())}
    answer = httpx.put(f"http://127.0.0.1:{side.port}/results/bench", json=document, timeout=30, trust_env=False)
    if not answer.is_success:
        raise Unmeasured(f"the result was not kept: {answer.text[:300]}")
    return "/results/bench"


def probe(server: Server, core: int, folder: Path, script: Path, seconds: float) -> float:
    """The p99 (ms) of health probes while eight clients send batches of 32 as JSON."""
    url = f"http://127.0.0.1:{server.side.port}/v2/models/mlp/infer"
    load = subprocess.Popen(
        ["taskset", "-c", str(core), "wrk", "-t1", "-c8", f"-d{seconds + 2}s", "-s", str(script), url],
        stdout=subprocess.DEVNULL,
    )
    try:
        time.sleep(1)
        return wrk(server.side, core, 1, seconds, "/v2/health/live", folder / "get.lua").p99
    finally:
        load.terminate()
        load.wait()


def measure(folder: Path, rounds: int, seconds: float, connections: int) -> tuple[list[Server], dict[str, float]]:
    """Both sides with every payload, and the figures. Raises ``Unmeasured``."""
    cores = sorted(os.sched_getaffinity(0))
    mine, other = cores[0], cores[-1]
    loads = payloads(folder)
    publish(folder / "models", mlp())
    installed(folder / "installed")
    starts = {name: _starts(name, mine, folder) for name in PEERS}
    with contextlib.ExitStack() as stack:
        raw = 1.0
        servers = [Server(stack.enter_context(started(name, mine, folder))) for name in PEERS]
        for turn in range(rounds):
            raw = min(raw, _raw(folder, mine, seconds))
            for name, (path, script) in loads.items():
                for server in servers if turn % 2 else servers[::-1]:
                    server.keep(name, wrk(server.side, other, connections, seconds, path, script))
                if loads[name][1].stem == "json1":  # the same question, asked once and kept
                    path = _kept(servers[0].side, folder)
                    servers[0].keep("cached", wrk(servers[0].side, other, connections, seconds, path, folder / "get.lua"))
        ours, theirs = servers
        health = [min(probe(server, other, folder, loads["json32"][1], seconds) for _ in range(rounds)) for server in servers]
    figures = {f"vs_kserve_{name}": ours.windows[name].rate / theirs.windows[name].rate for name in loads}
    figures |= {f"cpu_vs_kserve_{name}": theirs.windows[name].cpu / ours.windows[name].cpu for name in loads}
    figures["binary1_vs_raw"] = ours.windows["binary1"].cpu / raw
    figures["cached_vs_fresh"] = ours.windows["cached"].rate / ours.windows["json1"].rate
    figures["raw_us"] = raw * 1e6
    figures["health_p99_ms"], figures["kserve_health_p99_ms"] = health
    for which, prefix in enumerate(("", "cpu_")):
        ours_s, theirs_s = starts["ours"][which], starts["kserve"][which]
        figures[f"{prefix}start_s"], figures[f"{prefix}start_vs_kserve"] = ours_s, theirs_s / ours_s
    return servers, figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="length of a window")
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    programs()
    with tempfile.TemporaryDirectory() as name:
        try:
            servers, figures = measure(Path(name), options.rounds, options.seconds, options.connections)
            figures |= serving_load.measure(Path(name))
        except Unmeasured as reason:
            sys.exit(f"cannot measure: {reason}")
    rows = [
        [server.side.name, payload, f"{found.rate:.0f}", f"{found.cpu * 1e6:.0f}", f"{found.p50:.2f}", f"{found.p99:.2f}"]
        for server in servers
        for payload, found in server.windows.items()
    ]
    columns = ["side", "payload", "requests/s", "CPU us", "p50 ms", "p99 ms"]
    report(f"V2 inference, {options.connections} clients", columns, rows, figures)
    for key, goal in GOALS.items():
        if figures[key] < goal:
            print(f"{key}: {figures[key]:.2f} is below the goal {goal}", file=sys.stderr)
    for key, limit in LIMITS.items():
        if figures[key] > limit:
            print(f"{key}: {figures[key]:.2f} is above the limit {limit}", file=sys.stderr)


if __name__ == "__main__":
    main()
