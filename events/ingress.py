"""The one way in: whatever an HTTP request carries - CloudEvents, bucket notifications, SNS - becomes events here."""

from __future__ import annotations

from events.attributes import REQUIRED
from events.codec import CLOUDEVENTS, Headers, decode_split, split
from events.errors import BadEvent, UnsupportedMediaType
from events.media import decode_text, media_type
from events.received import Confirmation, Received, Rejected
from events.s3 import events_from

__all__ = ["Confirmation", "Received", "Rejected", "read"]


def read(headers: Headers, body: bytes) -> Received:
    """The events of one request.

    It is a CloudEvent if its content type or a required ``ce-`` header says so; a JSON body (or SNS's ``text/plain``, or one
    without a content type) is looked at as a bucket notification. Newer Ceph sends both at once, a notification under ``ce-``
    headers that are equal for all keys of a batch delete: the notification counts.

    The endpoint stores ``events`` and dead-letters ``rejects``, then answers 2xx (see ``Received``).

    Raises:
        BadEvent: nothing of it can be used; answer 400 with the text.
        UnsupportedMediaType: nobody here reads this media type; answer 415.

    """
    attributes, content_type = split(headers)
    if content_type is not None and content_type[: len(CLOUDEVENTS)].lower() == CLOUDEVENTS:
        return Received(events=decode_split(attributes, content_type, body))
    marked = False
    for name, raw in attributes:
        if name in REQUIRED:
            if (
                name == "source"
                and raw.startswith(b"ceph:s3")
                and b'"Records"' in body
                and (found := events_from(body, headers))
            ):
                return found
            marked = True
    if marked:
        return Received(events=decode_split(attributes, content_type, body))
    return _read_notification(content_type or "", headers, body)


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
            "application/cloudevents+json, one in binary mode has the headers ce-specversion, ce-id, ce-source and ce-type"
        )
    return received
