"""Models as InferenceServices: the manifest, what is refused before a cluster sees it, and applying it."""

from __future__ import annotations

import copy
import json
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from typer.testing import CliRunner

from events.errors import Reject
from events.ports import Repository
from infra.cli import app as cli
from infra.config import ConfigError, Kubernetes, Objects
from infra.serving.kubernetes import Cluster
from infra.serving.manifest import Wanted, check, manifests, shown
from tests.plain_http import Silent, answering

OBJECTS = Objects(endpoint="https://rgw.example:7443", access_key="the-access", secret_key="the-secret", region="north")
REPOSITORY = Repository(name="models", bucket="lake", prefix="models/")
TOKEN = "the-token"


def made(**more):
    return manifests(Wanted(name="team/Digits", service="digits", namespace="serving", **more), REPOSITORY, OBJECTS)


def test_the_whole_manifest():
    secret, account, service = made(canary=20)
    assert secret["metadata"]["annotations"] == {
        "serving.kserve.io/s3-endpoint": "rgw.example:7443", "serving.kserve.io/s3-usehttps": "1",
        "serving.kserve.io/s3-verifyssl": "1", "serving.kserve.io/s3-region": "north",
        "serving.kserve.io/s3-usevirtualbucket": "false",
    }  # fmt: skip
    assert secret["stringData"] == {"AWS_ACCESS_KEY_ID": "the-access", "AWS_SECRET_ACCESS_KEY": "the-secret"}
    assert account["secrets"] == [{"name": secret["metadata"]["name"]}]
    predictor = service["spec"]["predictor"]
    assert service["metadata"]["annotations"] == {"serving.kserve.io/deploymentMode": "Knative"}
    assert (predictor["minReplicas"], predictor["canaryTrafficPercent"]) == (0, 20)
    assert predictor["serviceAccountName"] == account["metadata"]["name"]
    (container,) = predictor["containers"]
    environment = {each["name"]: each for each in container["env"]}
    assert json.loads(environment["SLUICE_SERVING_MODELS"]["value"]) == ["team/Digits"]
    assert json.loads(environment["SLUICE_MODELS"]["value"])[0]["prefix"] == "models/"
    assert environment["SLUICE_OBJECTS_SECRET_KEY"]["valueFrom"]["secretKeyRef"]["key"] == "AWS_SECRET_ACCESS_KEY"
    assert "the-secret" not in json.dumps([shown(each) for each in (secret, account, service)])


def test_the_clusters_own_runtime():
    predictor = made(runtime="cluster", mode="Standard", min_replicas=1)[2]["spec"]["predictor"]
    assert predictor["model"] == {
        "modelFormat": {"name": "onnx"}, "protocolVersion": "v2", "storageUri": "s3://lake/models",
    }  # fmt: skip
    assert "containers" not in predictor
    assert "canaryTrafficPercent" not in predictor


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"mode": "Standard"}, "only Knative can scale to zero"),
        ({"mode": "Standard", "min_replicas": 1, "canary": 5}, "only Knative"),
        ({"canary": 101}, "canaryTrafficPercent"),
        ({"min_replicas": -1}, "minReplicas"),
        ({"min_replicas": 5, "max_replicas": 2}, "less than minReplicas"),
        ({"image": ""}, "image"),
    ],
)
def test_what_kserve_would_misunderstand_is_refused(more, reason):
    with pytest.raises(Reject, match=reason):
        made(**more)


def test_names_and_unknown_fields_are_refused():
    good = made()[2]
    check(good)
    for path, value in (
        (("spec", "predictor", "storageURI"), "s3://lake"),
        (("spec", "predictor", "minReplicas"), "zero"),
        (("spec", "predictor", "containers", 0, "imagePullPolicy "), "Always"),
        (("metadata", "name"), "Digits"),
        (("metadata", "name"), "9digits"),
        (("kind",), "Inferenceservice"),
        (("metadata", "annotations"), {"serving.kserve.io/deploymentMode": "Serverless"}),
        (("spec", "predictor", "model"), {"modelFormat": {"name": "onnx"}, "protocolVersion": "v2", "storageUri": "s3://lake"}),
    ):
        wrong = copy.deepcopy(good)
        inner = wrong
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        with pytest.raises(Reject):
            check(wrong)


class Fake(Silent):
    """An API server that keeps what is applied, and refuses who may not."""

    def do_PATCH(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((self.path, self.headers, json.loads(body)))  # type: ignore[attr-defined]
        allowed = self.headers["authorization"] == f"Bearer {TOKEN}"
        known = "inferenceservices" not in self.path or self.server.kserve  # type: ignore[attr-defined]
        status = 401 if not allowed else 404 if not known else 201
        answer = json.dumps({"kind": "Status", "message": "because"}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@pytest.fixture
def api():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    server.asked, server.kserve = [], True  # type: ignore[attr-defined]
    with answering(server):
        yield server


def test_it_is_applied_by_server_side_apply(api, monkeypatch, tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    for name, value in {
        "SLUICE_OBJECTS_ENDPOINT": OBJECTS.endpoint, "SLUICE_OBJECTS_ACCESS_KEY": "the-access",
        "SLUICE_OBJECTS_SECRET_KEY": "the-secret", "SLUICE_KUBERNETES_NAMESPACE": "serving",
        "SLUICE_KUBERNETES_SERVER": f"http://127.0.0.1:{api.server_port}",
        "SLUICE_KUBERNETES_TOKEN_FILE": str(tmp_path / "token"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    printed = CliRunner().invoke(cli, ["deploy", "digits"])
    assert [each["kind"] for each in yaml.safe_load_all(printed.output)] == ["Secret", "ServiceAccount", "InferenceService"]
    assert not api.asked
    done = CliRunner().invoke(cli, ["deploy", "digits", "--apply"])
    assert done.output.splitlines() == [
        "Secret digits-objects created", "ServiceAccount digits-objects created", "InferenceService digits created",
    ]  # fmt: skip
    assert all(word not in printed.output + done.output for word in ("the-secret", "the-access", TOKEN))
    assert [urlsplit(path).path for path, _, _ in api.asked] == [
        "/api/v1/namespaces/serving/secrets/digits-objects",
        "/api/v1/namespaces/serving/serviceaccounts/digits-objects",
        "/apis/serving.kserve.io/v1beta1/namespaces/serving/inferenceservices/digits",
    ]
    for path, headers, _ in api.asked:
        assert parse_qs(urlsplit(path).query) == {"fieldManager": ["sluice"], "force": ["true"]}
        assert headers["content-type"] == "application/apply-patch+yaml"
    check(api.asked[2][2])
    assert api.asked[0][2]["stringData"]["AWS_SECRET_ACCESS_KEY"] == "the-secret"


def test_a_cluster_that_refuses_is_told_in_one_line(api):
    url = f"http://127.0.0.1:{api.server_port}"
    with Cluster(Kubernetes(server=url, token="wrong")) as cluster, pytest.raises(Reject, match="401 because; is sluice"):
        cluster.apply(made()[0])
    api.kserve = False
    with Cluster(Kubernetes(server=url, token=TOKEN)) as cluster, pytest.raises(Reject, match="is KServe installed"):
        cluster.apply(made()[2])
    for wrong in (Kubernetes(), Kubernetes(server="http://10.0.0.1:6443"), Kubernetes(server=url, token_file="/nowhere")):
        with pytest.raises(ConfigError, match=r"sluice\.kubernetes"):
            Cluster(wrong)
