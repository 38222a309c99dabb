"""Models as InferenceServices: the manifest, what is refused before a cluster sees it, and applying it."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import yaml
from typer.testing import CliRunner

from events.errors import Reject
from events.models import Repository
from infra.cli import application
from infra.config import ConfigError, Kubernetes, Objects, load
from infra.serving.kubernetes import Cluster
from infra.serving.manifest import Wanted, manifests, shown
from infra.serving.manifest_check import check
from infra.serving.server import repository_of
from tests.plain_http import Silent, answering

OBJECTS = Objects(endpoint="https://rgw.example:7443", access_key="the-access", secret_key="the-secret", region="north")
REPOSITORY = Repository(name="models", bucket="lake", prefix="models/")
TOKEN = "the-token"


def made(**more):
    wanted = {"name": "team/Digits", "service": "digits", "namespace": "serving", **more}
    return manifests(Wanted(**wanted), REPOSITORY, OBJECTS)


def test_the_whole_manifest():
    secret, account, service = made(canary=20)
    assert secret["metadata"]["annotations"] == {
        "serving.kserve.io/s3-endpoint": "rgw.example:7443", "serving.kserve.io/s3-usehttps": "1",
        "serving.kserve.io/s3-verifyssl": "1", "serving.kserve.io/s3-region": "north",
        "serving.kserve.io/s3-usevirtualbucket": "false",
    }  # fmt: skip
    token = secret["stringData"].pop("SLUICE_SERVING_TOKEN")
    assert secret["stringData"] == {"AWS_ACCESS_KEY_ID": "the-access", "AWS_SECRET_ACCESS_KEY": "the-secret"}
    assert len(token) > 40
    assert made()[0]["stringData"]["SLUICE_SERVING_TOKEN"] == token  # whoever applies it again changes nothing
    assert made(token="chosen")[0]["stringData"]["SLUICE_SERVING_TOKEN"] == "chosen"
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
    assert environment["SLUICE_SERVING_TOKEN"]["valueFrom"]["secretKeyRef"]["key"] == "SLUICE_SERVING_TOKEN"
    assert container["readinessProbe"]["httpGet"] == {"path": "/v2/models/team/Digits/ready", "port": 8080}
    assert (container["image"], container["imagePullPolicy"]) == ("sluice:latest", "IfNotPresent")
    assert "the-secret" not in json.dumps([shown(each) for each in (secret, account, service)])


def values(container):
    """A container's environment, as the program in it gets it."""
    return {each["name"]: each.get("value", "from-the-secret") for each in container["env"]}


@pytest.mark.parametrize(("mode", "least", "ports"), [("Knative", 0, [8080]), ("Standard", 1, [8080, 8081])])
def test_kserves_own_server_with_our_models(mode, least, ports):
    wanted = Wanted(name="digits", service="digits", namespace="n", runtime="kserve", mode=mode, min_replicas=least)
    secret, _, service = manifests(wanted, REPOSITORY, OBJECTS)
    (container,) = service["spec"]["predictor"]["containers"]
    assert importlib.util.find_spec(container["command"][2])
    assert container["command"][3:] == ["--http_port", "8080", "--grpc_port", "8081"]
    assert [each["containerPort"] for each in container["ports"]] == ports
    assert container["image"] == "sluice-kserve:latest"
    assert "SLUICE_SERVING_TOKEN" not in {**secret["stringData"], **values(container)}
    config = load(None, values(container))
    assert (config.serving.host, config.serving.models, config.models[0].bucket) == ("0.0.0.0", ["digits"], "lake")


def test_the_container_is_configured_by_its_environment():
    (container,) = made()[2]["spec"]["predictor"]["containers"]
    repository = msgspec.structs.replace(REPOSITORY, operators=["!Loop"], digest="blake3")
    config = load(None, values(container))
    assert (config.serving.token, config.objects.endpoint) == ("from-the-secret", OBJECTS.endpoint)
    (container,) = manifests(Wanted(name="d", service="d", namespace="n"), repository, OBJECTS)[2]["spec"]["predictor"][
        "containers"
    ]
    assert load(None, values(container)).models == [repository]


def test_the_container_leaves_alone_what_lies_in_an_inner_repository(monkeypatch):
    inner = Repository(name="signed", bucket="lake", prefix="models/sg/", signed=True)
    beside = Repository(name="beside", bucket="lake", prefix="others/")
    settings = {
        "SLUICE_OBJECTS_ENDPOINT": OBJECTS.endpoint,
        "SLUICE_MODELS": msgspec.json.encode([inner, REPOSITORY, beside]).decode(),
    }
    done = deployed(monkeypatch, "digits", "--repository", "models", **settings)
    assert done.exit_code == 0, done.output
    service = next(each for each in yaml.safe_load_all(done.stdout) if each["kind"] == "InferenceService")
    config = load(None, values(service["spec"]["predictor"]["containers"][0]))
    assert (config.models, repository_of(config)) == ([REPOSITORY, inner], REPOSITORY)


def test_a_store_with_an_authority_of_its_own():
    certificate = "-----BEGIN CERTIFICATE-----"
    authority, secret, _, service = made(ca=certificate)
    assert (authority["kind"], authority["data"]) == ("ConfigMap", {"cabundle.crt": certificate})
    told = secret["metadata"]["annotations"]
    assert told["serving.kserve.io/s3-cabundle-configmap"] == authority["metadata"]["name"] == "digits-ca"
    predictor = service["spec"]["predictor"]
    (container,) = predictor["containers"]
    (mount,) = container["volumeMounts"]
    assert predictor["volumes"] == [{"name": mount["name"], "configMap": {"name": "digits-ca"}}]
    file = values(container)["AWS_CA_BUNDLE"]
    assert file == told["serving.kserve.io/s3-cabundle"] == f"{mount['mountPath']}/cabundle.crt"
    cluster = made(ca=certificate, verify=False, runtime="cluster")
    assert cluster[1]["metadata"]["annotations"]["serving.kserve.io/s3-verifyssl"] == "0"
    assert "volumes" not in cluster[3]["spec"]["predictor"]


def deployed(monkeypatch, *arguments, **settings):
    for name in [each for each in os.environ if each.startswith("SLUICE_")]:
        monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return CliRunner().invoke(application("deploy"), ["deploy", *arguments])


def test_what_is_printed_has_placeholders_and_is_checked_for_them(monkeypatch, tmp_path):
    keys = {"SLUICE_OBJECTS_ENDPOINT": OBJECTS.endpoint, "SLUICE_OBJECTS_SECRET_KEY": "the-secret"}
    keyless = deployed(monkeypatch, "digits", "--with-secrets", **keys)
    assert keyless.exit_code == 1
    assert "set sluice.objects.access_key" in keyless.output
    keys["SLUICE_OBJECTS_ACCESS_KEY"] = "the-access"
    printed = deployed(monkeypatch, "digits", **keys)
    assert printed.output.startswith("# Replace what begins with REPLACE-WITH-")
    secret, _, service = yaml.safe_load_all(printed.output)
    assert set(secret["stringData"]) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SLUICE_SERVING_TOKEN"}
    wanted = {each["valueFrom"]["secretKeyRef"]["key"] for each in service["spec"]["predictor"]["containers"][0]["env"][-3:]}
    assert wanted == set(secret["stringData"])
    assert "the-secret" not in printed.output
    file = tmp_path / "digits.yaml"
    file.write_text(printed.output)
    refused = deployed(monkeypatch, "--check", str(file))
    assert refused.exit_code == 1
    assert "Secret digits-objects: stringData.AWS_ACCESS_KEY_ID: still a placeholder" in " ".join(refused.output.split())
    whole = deployed(monkeypatch, "digits", "--with-secrets", **keys)
    assert "the-secret" in whole.output
    file.write_text(whole.output)
    assert deployed(monkeypatch, "--check", str(file)).output == f"{file} can be applied\n"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("minReplicas: 0", "minReplicas: none", "InferenceService digits: spec.predictor.minReplicas: 'none' is not of type"),
        ("image: sluice:latest", "imaeg: x", "InferenceService digits: spec.predictor.containers[0]: Additional properties"),
        ("name: SLUICE_SERVING_ALIAS", "name: alias", "spec.predictor.containers[0].env[3].name"),
        ("  AWS_ACCESS_KEY_ID: ", "  AWS_ACCES_KEY_ID: ", "the secret digits-objects has no key AWS_ACCESS_KEY_ID"),
        ("deploymentMode: Knative", "deploymentMode: Serverless", "deploymentMode"),
        ("kind: ServiceAccount", "kind: Account", "Account digits-objects: kind"),
    ],
)
def test_an_edited_manifest_is_told_what_is_wrong_and_where(monkeypatch, tmp_path, old, new, fault):
    keys = {"SLUICE_OBJECTS_ENDPOINT": OBJECTS.endpoint, "SLUICE_OBJECTS_SECRET_KEY": "x", "SLUICE_OBJECTS_ACCESS_KEY": "y"}
    text = deployed(monkeypatch, "digits", "--with-secrets", **keys).output
    assert old in text
    file = tmp_path / "digits.yaml"
    file.write_text(text.replace(old, new))
    refused = deployed(monkeypatch, "--check", str(file), "--json")
    assert refused.exit_code == 1
    assert fault in " ".join(json.loads(refused.stdout)["faults"])


def test_this_machines_own_objects_are_deployed_by_the_url_that_the_cluster_has_for_them(monkeypatch, tmp_path):
    refused = deployed(monkeypatch, "flood", "--mode", "standard", SLUICE_DATA=str(tmp_path))
    assert "--endpoint" in refused.output
    told = ["flood", "--mode", "standard", "--with-secrets", "--endpoint", "http://172.18.0.1:9000"]
    printed = deployed(monkeypatch, *told, SLUICE_DATA=str(tmp_path))
    secret, _, service = yaml.safe_load_all(printed.output)
    assert secret["stringData"]["AWS_SECRET_ACCESS_KEY"] in (tmp_path / "credentials").read_text()
    found = values(service["spec"]["predictor"]["containers"][0])
    assert found["SLUICE_OBJECTS_ENDPOINT"] == "http://172.18.0.1:9000"


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
        ({"image": "two words"}, "image"),
        ({"runtime": "kserve"}, "no slash"),
        ({"verify": False}, "--ca-file"),
        ({"image": "lake:"}, "image"),
        ({"image": "Lake"}, "image"),
        ({"alias": "Best One"}, "no alias"),
        ({"service": ""}, "--service"),
        ({"service": "d" * 54}, "--service"),
        ({"service": "9digits"}, "--service"),
        ({"service": "a.b"}, "--service"),
        ({"namespace": "a.b"}, "namespace"),
        ({"namespace": "n" * 64}, "namespace"),
        ({"service": "d" * 40, "namespace": "n" * 23}, "host"),
        ({"service": "d" * 40, "namespace": "n" * 13, "mode": "Standard", "min_replicas": 1}, "host"),
    ],
)
def test_what_kserve_would_misunderstand_is_refused(more, reason):
    with pytest.raises(Reject, match=reason):
        made(**more)


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("minio:9000", "no http or https URL"),
        ("http://minio:99999999", "no http or https URL"),
        ("http://:9000", "no http or https URL"),
        ("http://minio:9000/base", "scheme, host and port"),
        ("http://key:secret@minio:9000", "scheme, host and port"),
        ("http://127.0.0.1:9000", "--endpoint"),
        ("http://localhost:9000", "--endpoint"),
        ("https://[::1]:9000", "--endpoint"),
    ],
)
def test_a_store_that_no_container_could_reach_is_refused(endpoint, reason):
    with pytest.raises(Reject, match=reason):
        manifests(Wanted(name="d", service="d", namespace="n"), REPOSITORY, msgspec.structs.replace(OBJECTS, endpoint=endpoint))


def test_a_store_by_plain_http_and_every_share_of_a_canary():
    minio = msgspec.structs.replace(OBJECTS, endpoint="http://minio.minio:9000")
    for share in (0, 100):
        wanted = Wanted(name="d", service="d" * 40, namespace="n" * 22, canary=share)
        secret, _, service = manifests(wanted, REPOSITORY, minio)
        assert secret["metadata"]["annotations"]["serving.kserve.io/s3-endpoint"] == "minio.minio:9000"
        assert secret["metadata"]["annotations"]["serving.kserve.io/s3-usehttps"] == "0"
        assert service["spec"]["predictor"]["canaryTrafficPercent"] == share


@pytest.mark.parametrize("prefix", ["what?/", "a#b/", "a b/", "50%/"])
def test_a_prefix_that_no_storage_uri_can_have_is_refused_where_there_is_one(prefix):
    repository = msgspec.structs.replace(REPOSITORY, prefix=prefix)
    manifests(Wanted(name="d", service="d", namespace="n"), repository, OBJECTS)
    with pytest.raises(Reject, match="storageUri"):
        manifests(Wanted(name="d", service="d", namespace="n", runtime="cluster"), repository, OBJECTS)


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
        with pytest.raises(Reject, match=r"kind|metadata|spec\.predictor"):
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
    printed = CliRunner().invoke(application("deploy"), ["deploy", "digits"])
    assert [each["kind"] for each in yaml.safe_load_all(printed.output)] == ["Secret", "ServiceAccount", "InferenceService"]
    assert not api.asked
    done = CliRunner().invoke(application("deploy"), ["deploy", "digits", "--apply"])
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
