"""The one way in: whatever an HTTP request carries - CloudEvents, bucket notifications, SNS - becomes events here."""

from __future__ import annotations

from typing import Any

from events.attributes import REQUIRED
from events.codec import BATCHED, CLOUDEVENTS, Headers, decode_split, split
from events.errors import BadEvent, UnsupportedMediaType
from events.json_format import from_document, parse_json
from events.media import decode_text, media_type
from events.received import Confirmation, Received, Rejected, joined, rejected
from events.s3 import events_from
from events.s3.cloudevents import normalised

__all__ = ["Confirmation", "Received", "Rejected", "read", "salvage"]

#: One of these attributes makes a message a CloudEvent.
_MARKS = frozenset(REQUIRED)


def read(headers: Headers, body: bytes) -> Received:
    """The events of one request.

    It is a CloudEvent if its content type or a required ``ce-`` header says so; a JSON body (or SNS's ``text/plain``, or one
    without a content type) is looked at as a bucket notification. Newer Ceph sends both at once, a notification under ``ce-``
    headers that are equal for all keys of a batch delete: the notification counts. A CloudEvent of others that tells of an
    object's change gets our form (``events/s3/cloudevents.py``).

    The endpoint stores ``events`` and dead-letters ``rejects``, then answers 2xx (see ``Received``).

    Raises:
        BadEvent: nothing of it can be used; answer 400 with the text.
        UnsupportedMediaType: nobody here reads this media type; answer 415.

    """
    names, values, content_type = split(headers)
    if content_type is not None and content_type[: len(CLOUDEVENTS)].lower() == CLOUDEVENTS:
        return normalised(decode_split(names, values, content_type, body))
    if not _MARKS.isdisjoint(names):
        if "source" in names and values[names.index("source")].startswith(b"ceph:s3") and b'"Records"' in body:
            found = events_from(body, headers)
            if found:
                return found
        return normalised(decode_split(names, values, content_type, body))
    return _read_notification(content_type or "", headers, body)


def salvage(headers: Headers, body: bytes) -> Received | None:
    """What of a batch can be used although ``read`` refused it; ``None`` if the body is no batch.

    The batch format makes one bad event spoil the batch, so a sender that understands a refusal gets one, and still has all of
    it. This is for those who do not, and would send the same for ever.
    """
    try:
        if not (split(headers)[2] or "").lower().startswith(BATCHED):
            return None
        documents = parse_json(body)
    except BadEvent:
        return None
    return joined([_document(each) for each in documents]) if isinstance(documents, list) else None


def _document(document: Any) -> Received:
    try:
        return normalised([from_document(document)])
    except BadEvent as error:
        return Received(rejects=[rejected(document, error)])


def _read_notification(content_type: str, headers: Headers, body: bytes) -> Received:
    text: bytes | str = body
    if content_type:
        try:
            media = media_type(content_type)
        except BadEvent as error:
            raise UnsupportedMediaType(str(error)) from error
        if not media.is_json and media.essence != "text/plain":
            raise UnsupportedMediaType(
                f"{media.essence!r} is not read here; send application/cloudevents+json, or ce- headers, or an S3 notification"
            )
        text = decode_text(media, body)
    received = events_from(text, headers)
    if received is None:
        raise BadEvent(
            "the body is neither a CloudEvent nor a bucket notification; a CloudEvent in JSON has the content type "
            "application/cloudevents+json, one in binary mode has the headers ce-specversion, ce-id, ce-source and ce-type; "
            "a bucket notification has Records, or the form of one of the stores in docs/events.md"
        )
    return received
