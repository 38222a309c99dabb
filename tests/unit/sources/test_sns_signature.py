"""SNS messages at the push address: only what the service signed for one of our topics is taken."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from events.errors import Reject, Retry
from events.sns import certificate_url, signed_text
from infra.config import ConfigError, Sources
from infra.runtime.api import Api
from infra.runtime.asgi import Endpoint
from infra.sources import push
from infra.sources.sns import Topics, fetch
from tests.conftest import serving

PAYLOADS = Path(__file__).parents[2] / "payloads"
ARN = "arn:aws:sns:us-west-2:123456789012:MyTopic"
PLACE = "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem"
KEY = rsa.generate_private_key(65537, 2048)


def certificate(key=KEY) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return made.sign(key, SHA256()).public_bytes(Encoding.PEM)


def message(name: str = "aws-sns", version: str = "2", **changes: object) -> dict:
    """A captured message, signed anew."""
    made = {**json.loads((PAYLOADS / f"{name}.json").read_text()), "SignatureVersion": version, "SigningCertURL": PLACE}
    made |= {**changes, "TopicArn": changes.get("TopicArn", ARN)}
    raw = KEY.sign(signed_text(made), PKCS1v15(), SHA1() if version == "1" else SHA256())
    return {**made, "Signature": b64encode(raw).decode()}


class Certificates:
    """The service that certificates lie at, on loopback."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status, self.body = 200, certificate()

    async def __call__(self, scope, receive, send) -> None:
        self.asked.append(scope["path"])
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"location", b"/elsewhere.pem")]})
        await send({"type": "http.response.body", "body": self.body})


@pytest.fixture
def service():
    return Certificates()


@pytest.fixture
def sent(lake, service, monkeypatch):
    """Send a message to the push address, or another one; the answer."""
    monkeypatch.setattr(push, "HOLD_SECONDS", 0.0)
    with serving(service) as place:
        topics = Topics(Sources(topics=[ARN]), lambda url: fetch(url.replace("https://sns.us-west-2.amazonaws.com", place)))
        endpoint = Endpoint(lake, Api(lake, lambda: True, "http://127.0.0.1").application(), check=topics.check)
        with serving(push.Push(endpoint, lake, "token", topics)) as url:
            headers = {"content-type": "text/plain; charset=UTF-8"}
            yield lambda body, to="/events/token": httpx.post(url + to, content=json.dumps(body), headers=headers)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("to", ["/events/token", "/events"])
def test_what_the_service_signed_is_taken_and_its_certificate_fetched_once(sent, service, lake, version, to):
    assert sent(message(version=version), to).status_code == 202
    without = message(version=version, MessageId="another")
    del without["Subject"]
    assert sent(message(version=version, Subject=None), to).status_code == 202
    assert service.asked == ["/SimpleNotificationService-1.pem"]
    assert lake.status()["log"]["events"] == 1, "twice the same change"


@pytest.mark.parametrize(
    "changed",
    [
        {"Message": "{}"}, {"Timestamp": "2030-01-01T00:00:00.000Z"}, {"MessageId": "x"}, {"Subject": "y"},
        {"Signature": ""}, {"Signature": "EXAMPLEw6JRN..."}, {"Signature": None}, {"SignatureVersion": "1"},
        {"SignatureVersion": "3"}, {"SignatureVersion": None}, {"Timestamp": None}, {"Timestamp": 7},
    ],
)  # fmt: skip
@pytest.mark.parametrize("to", ["/events/token", "/events"])
def test_what_was_changed_is_refused(sent, lake, changed, to):
    assert sent({**message(), **changed}, to).status_code == 403
    assert (lake.status()["log"]["events"], lake.status()["log"]["dead"]) == (0, 0)


def test_it_cannot_be_hidden_in_another_envelope(sent, lake):
    forged = {**message(), "Signature": b64encode(b"forged").decode()}
    for body in ([forged], [message(), forged], {"Messages": [{"Body": json.dumps(forged)}]}, {"Records": [{"Sns": forged}]}):
        assert sent(body).status_code == 403
    assert lake.status()["log"]["events"] == 0


def test_other_topics_are_refused_before_anything_is_fetched(sent, service):
    assert sent(message(TopicArn=ARN + "-theirs")).status_code == 403
    assert service.asked == []


@pytest.mark.parametrize(
    "place",
    [
        "http://sns.us-west-2.amazonaws.com/c.pem", "https://sns.us-west-2.amazonaws.com.evil.example/c.pem",
        "https://evil.example/c.pem", "https://sns.us-west-2.amazonaws.com@evil.example/c.pem",
        "https://evil.example/sns.us-west-2.amazonaws.com/c.pem", "https://s3.us-west-2.amazonaws.com/c.pem",
        "https://x.sns.us-west-2.amazonaws.com/c.pem", "https://sns.us.west.amazonaws.com/c.pem",
        "https://sns.us-west-2.amazonaws.com:8443/c.pem", "https://sns.us-west-2.amazonaws.com/c.txt",
        "https://sns.us-west-2.amazonaws.com\n.evil.example/c.pem", "https://[::1/c.pem", "", None, 7,
    ],
)  # fmt: skip
def test_certificates_come_from_the_service_alone(sent, service, place):
    assert sent(message(SigningCertURL=place)).status_code == 403
    assert service.asked == []


@pytest.mark.parametrize("region", ["eu-central-1", "cn-north-1.x", "us-gov-west-1"])
def test_the_service_has_a_host_in_each_region(region):
    dotted = region.removesuffix(".x")
    end = "amazonaws.com.cn" if dotted != region else "amazonaws.com"
    url = f"https://sns.{dotted}.{end}/SimpleNotificationService-1.pem"
    assert certificate_url({"SigningCertURL": url}) == url


@pytest.mark.parametrize("status", [302, 404, 500])
def test_without_a_certificate_it_is_to_come_again_and_then_is_taken(sent, service, lake, status):
    service.status = status
    assert sent(message()).status_code == 503
    assert sent(message(), "/events").status_code == 503
    assert lake.status()["log"]["events"] == 0
    service.status = 200
    assert sent(message()).status_code == 202
    assert "/elsewhere.pem" not in service.asked


def test_a_service_that_cannot_be_reached():
    with pytest.raises(Retry, match="cannot be fetched"):
        fetch("http://127.0.0.1:1/c.pem")


@pytest.mark.parametrize("body", [b"", b"no certificate", certificate(ec.generate_private_key(ec.SECP256R1()))])
def test_a_certificate_that_is_none(sent, service, body):
    service.body = body
    assert sent(message()).status_code == 403


def test_a_pinned_certificate_is_the_only_one_believed(tmp_path):
    file = tmp_path / "sns.pem"
    file.write_bytes(certificate())

    def nowhere(url: str) -> bytes:
        raise AssertionError("nothing is fetched")

    topics = Topics(Sources(topics=[ARN], sns_certificate=str(file)), nowhere)
    topics.check([message(), message("aws-sns-confirmation", "1")])
    with pytest.raises(Reject, match="signature"):
        topics.check([{**message(), "Message": "{}"}])
    file.write_text("nonsense")
    for broken in (file, tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match="sns_certificate"):
            Topics(Sources(sns_certificate=str(broken)))


def test_it_can_be_turned_off_for_brokers_that_sign_nothing():
    Topics(Sources(sns_verify=False)).check([{**message(), "Signature": "x", "TopicArn": "any"}])
