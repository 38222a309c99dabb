"""SNS over HTTP: a topic asks first whether it may send here. Only the topics that the configuration names may.

The URL in its request comes from outside and is not fetched: the topic is confirmed by its own service's API, whose host
follows from the ARN, with the token that only the real topic could have posted to our secret address.
"""

from __future__ import annotations

import logging
import re
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config as BotoConfig

from events.received import Confirmation

logger = logging.getLogger("sluice.sns")
_ARN = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):\d{12}:[A-Za-z0-9_.-]+").fullmatch


class Topics:
    """The topics that may send here.

    Args:
        allowed: their ARNs.
        endpoint: of the service, if it is not AWS's of the topic's region.

    """

    def __init__(self, allowed: list[str], endpoint: str = "") -> None:
        self._allowed, self._endpoint = frozenset(allowed), endpoint

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
