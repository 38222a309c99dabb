"""SNS over HTTP: a topic asks first whether it may send here. Only the topics that the configuration names may.

Whatever comes must be signed by the service, for such a topic: everybody can have a topic, and messages that SNS signed. The
certificate is fetched from a host of SNS, and from nowhere else. The URL in a topic's request is not fetched at all: the topic
is confirmed by its own service's API, whose host follows from the ARN.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore import UNSIGNED
from botocore.config import Config as BotoConfig
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from events import sns
from events.errors import Reject, Retry
from events.received import Confirmation
from infra.config import ConfigError, Sources

logger = logging.getLogger("sluice.sns")
_ARN = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):\d{12}:[A-Za-z0-9_.-]+").fullmatch


#: A certificate has about 2 kB; how long it may take, seconds.
CERTIFICATE_BYTES, CERTIFICATE_SECONDS = 64 << 10, 5.0


def fetch(url: str) -> bytes:
    """The certificate at ``url``. Raises ``Retry`` when it cannot be had: the message is to come again."""
    try:
        with httpx.stream("GET", url, timeout=CERTIFICATE_SECONDS, follow_redirects=False) as answer:
            body = b""
            for part in answer.iter_bytes():
                body += part
                if len(body) > CERTIFICATE_BYTES:
                    break
    except httpx.HTTPError as error:
        raise Retry(f"the certificate {url} cannot be fetched: {error or type(error).__name__}") from error
    if answer.status_code != 200 or len(body) > CERTIFICATE_BYTES:
        raise Retry(f"the certificate {url} cannot be fetched: status {answer.status_code}, {len(body)} bytes")
    return body


class Topics:
    """The topics that may send here, by ``sources.topics``, and the check that it is them.

    Args:
        settings: ``sources``. With ``sns_verify``, messages need a good signature and one of the topics; without, only requests
            to confirm are looked at. ``sns_certificate`` is a file with the only certificate believed.
        fetch: how to get a certificate. Raises ``Retry``.

    """

    def __init__(self, settings: Sources, fetch: Callable[[str], bytes] = fetch) -> None:
        self._allowed, self._endpoint = frozenset(settings.topics), settings.sns_endpoint
        self._verify = settings.sns_verify
        self._pinned = _pinned(settings.sns_certificate)
        self._key = lru_cache(32)(lambda url: sns.certificate(fetch(url)))  # an error is not kept

    def check(self, messages: Iterable[Mapping[str, Any]]) -> None:
        """Raise ``Reject`` for a message that none of our topics sent, ``Retry`` when that cannot be told now."""
        if not self._verify:
            return
        for message in messages:
            topic = str(message.get("TopicArn"))
            if topic not in self._allowed:
                logger.warning("a message of the SNS topic %r was refused; sluice.sources.topics does not name it", topic[:256])
                raise Reject("this topic may not send here: sluice.sources.topics does not name it")
            sns.verify(message, self._pinned or self._key(sns.certificate_url(message)))

    def confirm(self, asked: Confirmation) -> bool:
        """Confirm a topic's subscription; ``False`` if it is not one of ours. Raises botocore's errors, for a later attempt."""
        found = _ARN(asked.topic)
        if found is None or asked.topic not in self._allowed:
            logger.warning(
                "the SNS topic %r wants to send here and may not; sluice.sources.topics does not name it", asked.topic
            )
            return False
        settings = BotoConfig(signature_version=UNSIGNED, connect_timeout=5, read_timeout=10, retries={"max_attempts": 2})
        client: Any = boto3.client("sns", region_name=found[1], endpoint_url=self._endpoint or None, config=settings)
        try:
            client.confirm_subscription(TopicArn=asked.topic, Token=asked.token)
        finally:
            client.close()
        logger.info("the SNS topic %s sends here from now on", asked.topic)
        return True


def _pinned(file: str) -> RSAPublicKey | None:
    if not file:
        return None
    try:
        return sns.certificate(Path(file).expanduser().read_bytes())
    except (OSError, Reject) as error:
        raise ConfigError(f"sluice.sources.sns_certificate: {error}") from error
