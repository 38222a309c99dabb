"""SQS: a queue of bucket notifications (sent directly, through SNS, or by an EventBridge rule) is polled and emptied.

A message is deleted once its events are on the disk, or once it is a dead letter because nobody can read it; one that could
not be stored becomes visible again soon. A message whose deletion fails comes again, and the log knows its events.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import boto3
import msgspec
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError

from events.codec import Headers, from_json
from events.errors import BadEvent
from events.ingress import read as read_request
from events.received import Received, Rejected, joined
from events.s3 import events_from
from events.s3.cloudevents import normalised
from events.s3.queues import attributes
from infra.config import Queue
from infra.delivery import intake
from infra.delivery.tracing import traced_by
from infra.lake import Lake

logger = logging.getLogger("sluice.sqs")
BATCH = 10
#: Seconds until a message that could not be stored is visible again, and between attempts to reach the service.
AGAIN, PAUSE, PAUSE_MAX = 5, 1.0, 60.0


class Poller:
    """A thread that empties one queue into a lake."""

    def __init__(self, queue: Queue, lake: Lake) -> None:
        self._queue, self._lake = queue, lake
        self._client: Any = boto3.client(
            "sqs",
            endpoint_url=queue.endpoint or None,
            region_name=queue.region,
            aws_access_key_id=queue.access_key or None,
            aws_secret_access_key=queue.secret_key or None,
            config=BotoConfig(connect_timeout=5, read_timeout=queue.wait_s + 10, retries={"mode": "standard"}),
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sqs", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the poll at hand, which may take ``wait_s`` seconds. What was received and not stored comes again."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._client.close()

    def _run(self) -> None:
        pause = PAUSE
        while not self._stopping.is_set():
            try:
                self.step()
                pause = PAUSE
            except Exception as error:  # the network, the service, or our own log: all of them may come back
                told = isinstance(error, ClientError | BotoCoreError)
                logger.warning("the queue %s: again in %.0f s: %s", self._queue.url, pause, error, exc_info=not told)
                self._stopping.wait(pause)
                pause = min(pause * 2, PAUSE_MAX)

    def step(self) -> int:
        """One poll; how many messages were dealt with."""
        answer = self._client.receive_message(
            QueueUrl=self._queue.url,
            MaxNumberOfMessages=BATCH,
            MessageAttributeNames=["All"],
            WaitTimeSeconds=0 if self._stopping.is_set() else self._queue.wait_s,
        )
        messages = answer.get("Messages", [])
        if not messages:
            return 0
        received = joined([read(message.get("Body", ""), attributes(message)) for message in messages])
        try:
            intake.store(self._lake, received)
        except Exception:
            self._return(messages)
            raise
        self._delete(messages)
        return len(messages)

    def _delete(self, messages: list[dict[str, Any]]) -> None:
        answer = self._client.delete_message_batch(QueueUrl=self._queue.url, Entries=_entries(messages))
        for failed in answer.get("Failed", []):
            logger.warning("the queue %s kept a message: %s %s", self._queue.url, failed["Code"], failed.get("Message", ""))

    def _return(self, messages: list[dict[str, Any]]) -> None:
        """Let somebody else, or us a little later, have them: there is no need to wait for the queue's own timeout."""
        try:
            entries = _entries(messages, VisibilityTimeout=AGAIN)
            self._client.change_message_visibility_batch(QueueUrl=self._queue.url, Entries=entries)
        except (ClientError, BotoCoreError) as error:
            logger.warning("the queue %s shows messages again only after its own timeout: %s", self._queue.url, error)


def _entries(messages: list[dict[str, Any]], **more: int) -> list[dict[str, Any]]:
    return [{"Id": str(number), "ReceiptHandle": each["ReceiptHandle"], **more} for number, each in enumerate(messages)]


def read(text: str, headers: Headers = ()) -> Received:
    """The events of one message: a notification in any envelope, or a CloudEvent in JSON, or one that has its attributes in
    those of the message (``headers``); else a reject. They belong to the message's trace.
    """
    body = text.encode("utf-8", "surrogatepass")
    try:
        found = _read(text, body, headers)
    except (BadEvent, msgspec.MsgspecError) as error:
        problem = error if isinstance(error, BadEvent) else BadEvent(str(error))
        return Received(rejects=[Rejected(body, problem)])
    return msgspec.structs.replace(found, events=list(traced_by(found.events, headers)))


def _read(text: str, body: bytes, headers: Headers) -> Received:
    if any(name == b"ce-specversion" for name, _ in headers):
        return read_request(headers, body)
    found = events_from(text)
    return normalised([from_json(body)]) if found is None else found
