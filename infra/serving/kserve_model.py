"""The same models behind KServe's own model server: inference protocol V1, V2 by REST, and V2 by gRPC.

    python -m infra.serving.kserve_model [--lake URL] [--http_port 8080] [--grpc_port 8081]

A version is a model of its own name there: ``NAME`` is the one that ``sluice serve`` answers with by default, and ``NAME-v3``
version 3, because KServe has no versions. New ones are looked for twice a minute, or taken at once if ``--lake`` says which
lake announces them. Settings are those of ``sluice.serving`` and ``sluice.objects``; it listens on ``serving.host`` only, where
KServe itself would take every interface, and nobody can load or unload models. Needs an environment of its own
(``infra/deploy/kserve/requirements.txt``): KServe wants other versions of pandas and psutil than the lake.
"""

from __future__ import annotations

import argparse
import sys
import threading
import uuid
from concurrent import futures
from typing import Any

import kserve.model_server
import numpy as np
from grpc import aio
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model, ModelRepository, ModelServer
from kserve.errors import InferenceError, InvalidInput, ModelNotFound
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as stubs
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.rest.server import RESTServer

from infra import config as configuration
from infra.config import Config
from infra.console.client import Client
from infra.objects.s3 import S3Store
from infra.serving import memory, server
from infra.serving.app import Serving
from infra.serving.batcher import Batcher, Closed
from infra.serving.model import OnnxModel, Unable
from infra.serving.published import Published
from infra.serving.shelf import Unknown
from infra.serving.tensors import NUMPY, Array, BadTensor, name_of


class Served(Model):
    """One name at KServe's server: a model's default version, or with ``version`` that one."""

    def __init__(self, app: Serving, name: str, version: str = "") -> None:
        super().__init__(f"{name}-v{version}" if version else name)
        self._shelf, self._model, self._version = app.shelf, name, version
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        """What the model's own file says."""
        return list(self._pick().model.metadata()["inputs"])

    def get_output_types(self) -> list[dict[str, Any]]:
        """What the model's own file says."""
        return list(self._pick().model.metadata()["outputs"])

    def _pick(self) -> Batcher:
        try:
            return self._shelf.pick(self._model, self._version)
        except Unknown as error:
            raise ModelNotFound(self.name) from error

    async def predict(self, payload: dict[str, Any] | InferRequest, headers: dict[str, str] | None = None) -> Any:
        """Answer V1 (``instances`` -> ``predictions``) or V2. Raises KServe's own errors: 400, 404 or 500."""
        while True:
            batcher = self._pick()
            model = batcher.model
            try:
                inputs = _instances(payload, model) if isinstance(payload, dict) else _tensors(payload)
                model.check(inputs, None)
                outputs = await batcher.infer(inputs, None)
            except Closed:
                continue
            except BadTensor as error:
                raise InvalidInput(str(error)) from error
            except Unable as error:
                raise InferenceError(str(error)) from error
            break
        if isinstance(payload, dict):
            return {"predictions": _predictions(outputs)}
        return InferResponse(
            response_id=payload.id or str(uuid.uuid4()),
            model_name=self.name,
            model_version=str(model.version),
            infer_outputs=[_output(name, each) for name, each in outputs.items()],
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


def _tensors(payload: InferRequest) -> dict[str, Array]:
    """The inputs of a V2 request. Raises ``BadTensor``."""
    return {each.name: _tensor(each) for each in payload.inputs}


def _tensor(given: InferInput) -> Array:
    try:
        found: Array = given.as_numpy()
    except Exception as error:  # KServe raises whatever numpy does
        raise BadTensor(f"the input {given.name!r} is no {given.datatype} of shape {given.shape}: {error}") from error
    return found


def _output(name: str, array: Array) -> InferOutput:
    made = InferOutput(name, list(array.shape), name_of(array))
    made.set_data_from_numpy(array, binary_data=True)  # an array itself fails in gRPC; JSON is made of it where it is wanted
    return made


def _instances(payload: dict[str, Any], model: OnnxModel) -> dict[str, Array]:
    """The inputs of a V1 request: rows, or of a model with several inputs objects of rows. Raises ``BadTensor``."""
    rows = payload.get("instances")
    if not isinstance(rows, list) or not rows:
        raise BadTensor('the request has no "instances": a list with one entry for each row')
    several = len(model.inputs) > 1
    found: dict[str, Array] = {}
    for port in model.inputs.values():
        try:
            values = [row[port.name] if several or isinstance(row, dict) else row for row in rows]
            found[port.name] = np.asarray(values, NUMPY[port.datatype])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise BadTensor(f"the instances are no rows of {port.name!r} ({port.datatype}): {error}") from error
    return found


def _predictions(outputs: dict[str, Array]) -> list[Any]:
    if len(outputs) == 1:
        return list(next(iter(outputs.values())).tolist())
    return [dict(zip(outputs, row, strict=True)) for row in zip(*(each.tolist() for each in outputs.values()), strict=True)]


class Repository(ModelRepository):
    """What is on the shelf, under KServe's names. Its routes to load and unload ask nobody who they are: they are shut."""

    def show(self, app: Serving) -> None:
        """Bring the names up to date."""
        shown = {
            each.name: each
            for name in app.shelf.names
            for each in (Served(app, name), *(Served(app, name, str(version)) for version in app.shelf.versions(name)))
        }
        self.models = shown

    def load(self, name: str) -> bool:
        """Never. Raises ``NotImplementedError`` (HTTP status 501)."""
        raise NotImplementedError("models are loaded as the repository's bucket has them")

    def unload(self, name: str) -> None:
        """Never. Raises ``NotImplementedError`` (HTTP status 501)."""
        raise NotImplementedError("models are loaded as the repository's bucket has them")


class Server(ModelServer):
    """KServe's server, which ends without taking the models away."""

    def stop(self, sig: int) -> None:
        """Stop both servers. KServe would unload every model first, by the door that ``Repository`` has shut, and fail."""
        self.registered_models = ModelRepository()
        super().stop(sig)


def narrow(host: str) -> None:
    """Have KServe's servers listen on ``host``: neither of them can be told."""

    class Rest(RESTServer):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.config.host = host

    class Grpc(GRPCServer):
        async def start(self, max_workers: int) -> None:
            self._server = aio.server(futures.ThreadPoolExecutor(max_workers), interceptors=(ExceptionToStatusInterceptor(),))
            servicer = InferenceServicer(self._data_plane, self._model_repository_extension)
            stubs.add_GRPCInferenceServiceServicer_to_server(servicer, self._server)
            self._server.add_insecure_port(f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}")
            await self._server.start()
            await self._server.wait_for_termination()

    kserve.model_server.RESTServer, kserve.model_server.GRPCServer = Rest, Grpc


def keep_up(app: Serving, shown: Repository, client: Client | None, stopping: threading.Event) -> None:
    """Show new versions, until ``stopping``: as the lake announces them, else as the bucket has them."""
    if client is not None:
        server.follow(app, client, stopping, lambda: shown.show(app))
    else:
        server.look(app, stopping, lambda: shown.show(app))


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(add_help=False)  # kserve reads its own options of the same command line
    parser.add_argument("--lake", default="")
    wanted, _ = parser.parse_known_args(sys.argv[1:])
    config: Config = configuration.load()
    place = config.objects
    objects = S3Store(place.endpoint, place.access_key, place.secret_key, place.region)
    app = server.application(config, objects, keep=False)
    client = Client(wanted.lake, config.http.token) if wanted.lake else None
    if client is not None:
        app.shelf.published = Published(client, app.repository.name)
    app.refresh()
    shown, stopping = Repository(), threading.Event()
    shown.show(app)
    threading.Thread(target=keep_up, args=(app, shown, client, stopping), daemon=True).start()
    narrow(config.serving.host)
    memory.limit(config.serving.memory_gb)
    Server(registered_models=shown, enable_latency_logging=False).start([])
    stopping.set()
    app.shelf.loading.leave()


if __name__ == "__main__":
    main()
