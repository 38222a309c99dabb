"""The ASGI application: authenticate, find the operation by method and query, answer; every refusal is S3's XML."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from infra.complaint import Complaint
from infra.disk import DiskTrouble, explained
from infra.objects.door import buckets, form, listen, lists, objects, sigv2, sigv4, store, uploads, xml
from infra.objects.door.body import Disconnected
from infra.objects.door.errors import NotModified, S3Error
from infra.objects.door.request import Request
from infra.objects.door.service import XML_TYPE, Service

log = logging.getLogger("sluice.door")
Operation: TypeAlias = Callable[[Service, Request], Awaitable[Response]]

#: Query parameters that name another resource than the bucket or object itself.
SUBRESOURCES = frozenset(
    """accelerate acl analytics attributes cors delete encryption events intelligent-tiering inventory legal-hold lifecycle
    location logging metrics notification object-lock ownershipControls policy policyStatus publicAccessBlock replication
    requestPayment restore retention select session tagging torrent uploadId uploads versioning versions website""".split()  # noqa: SIM905
)
#: (method, subresource) -> operation on a bucket.
BUCKET: dict[tuple[str, str], Operation] = {
    ("PUT", ""): buckets.create,
    ("HEAD", ""): buckets.head,
    ("DELETE", ""): buckets.delete,
    ("GET", ""): lists.objects,
    ("GET", "versions"): lists.versions,
    ("GET", "uploads"): uploads.list_uploads,
    ("GET", "location"): buckets.location,
    ("GET", "versioning"): buckets.versioning,
    ("GET", "requestPayment"): buckets.payment,
    ("GET", "logging"): buckets.logging,
    ("GET", "accelerate"): buckets.acceleration,
    ("GET", "acl"): buckets.acl,
    ("PUT", "acl"): buckets.put_acl,
    ("GET", "notification"): buckets.notification,
    ("GET", "events"): listen.follow,
    ("PUT", "notification"): buckets.put_notification,
    ("GET", "tagging"): buckets.tags,
    ("PUT", "tagging"): buckets.put_tags,
    ("DELETE", "tagging"): buckets.delete_tags,
    ("POST", "delete"): objects.delete_many,
}
#: (method, subresource) -> operation on an object.
OBJECT: dict[tuple[str, str], Operation] = {
    ("PUT", ""): objects.put,
    ("GET", ""): objects.get,
    ("HEAD", ""): objects.get,
    ("DELETE", ""): objects.delete,
    ("GET", "attributes"): objects.attributes,
    ("GET", "acl"): buckets.acl,
    ("PUT", "acl"): buckets.put_acl,
    ("GET", "tagging"): buckets.tags,
    ("PUT", "tagging"): buckets.put_tags,
    ("DELETE", "tagging"): buckets.delete_tags,
    ("POST", "uploads"): uploads.create,
    ("PUT", "uploadId"): uploads.put_part,
    ("GET", "uploadId"): uploads.list_parts,
    ("POST", "uploadId"): uploads.complete,
    ("DELETE", "uploadId"): uploads.abort,
}
#: Configurations no bucket here has -> what S3 says when one is asked for.
ABSENT = {
    "cors": "NoSuchCORSConfiguration",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "object-lock": "ObjectLockConfigurationNotFoundError",
    "ownershipControls": "OwnershipControlsNotFoundError",
    "policy": "NoSuchBucketPolicy",
    "policyStatus": "NoSuchBucketPolicy",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "replication": "ReplicationConfigurationNotFoundError",
    "website": "NoSuchWebsiteConfiguration",
}


class App:
    """The door as an ASGI application.

    Args:
        service: the parts the operations work on.
        keys: access key -> secret key.

    """

    def __init__(self, service: Service, keys: Mapping[str, str]) -> None:
        self._service = service
        self._keys = dict(keys)
        self._trouble = Complaint(log, "the door cannot write")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except S3Error as error:
            response = self._refuse(request, error)
        except NotModified as same:
            response = Response(status_code=304, headers=same.headers)
        except Disconnected:
            return
        except Exception as error:
            trouble = explained(error, "an object")
            if isinstance(trouble, DiskTrouble):
                self._trouble.tell(trouble)
                response = self._refuse(request, S3Error("ServiceUnavailable"))
            else:
                log.exception("%s %s failed (request %s)", request.method, request.resource, request.id)
                response = self._refuse(request, S3Error("InternalError"))
        else:
            if request.method == "PUT":
                self._trouble.over()
        response.headers["x-amz-request-id"] = request.id
        response.headers["x-amz-id-2"] = self._service.host_id
        response.headers["Server"] = "Sluice"
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        request.read()
        if request.method == "POST" and request.bucket and not request.key and form.is_form(request):
            return await form.upload(self._service, request, self._keys)  # signed in its fields
        verify = sigv2.verify if {"AWSAccessKeyId", "Signature"} <= request.query.keys() else sigv4.verify
        request.signature = verify(request, self._keys)
        return await self._operation(request)(self._service, request)

    def _operation(self, request: Request) -> Operation:
        """The operation a request asks for.

        Raises:
            S3Error: NotImplemented, MethodNotAllowed, or the code for a configuration no bucket has.

        """
        name = next((name for name in request.query if name in SUBRESOURCES), "")
        method = request.method
        if not request.bucket:
            if method == "GET" and not name:
                return buckets.list_all
            raise S3Error("MethodNotAllowed" if not name else "NotImplemented")
        if not request.key and method == "GET" and name in ABSENT:
            store.bucket(self._service.store.reader, request.bucket)
            raise S3Error(ABSENT[name], BucketName=request.bucket)
        if not request.key and method == "DELETE" and name in ABSENT:
            return buckets.forget
        if not request.key and (method, name) == ("GET", "") and request.query.get("list-type") == "2":
            return lists.objects_v2
        if request.key and method == "PUT" and "x-amz-copy-source" in request.headers:
            if name == "uploadId":
                return uploads.copy_part
            if not name:
                return objects.copy
        operation = (OBJECT if request.key else BUCKET).get((method, name))
        if operation is None:
            if name or method == "OPTIONS":
                raise S3Error("NotImplemented", f"This door does not have {method} with ?{name}." if name else "")
            raise S3Error("MethodNotAllowed", Method=method, ResourceType="OBJECT" if request.key else "BUCKET")
        return operation

    def _refuse(self, request: Request, error: S3Error) -> Response:
        headers = dict(error.headers)
        if "expect" in request.headers and not request.body_begun:
            headers["Connection"] = "close"  # the client will not send the body that the server still expects
        if request.method == "HEAD":
            return Response(status_code=error.status, headers=headers, media_type=XML_TYPE)
        children: list[xml.Pair] = [
            ("Code", error.code),
            ("Message", error.message),
            *error.extra.items(),
            ("Resource", request.resource),
            ("RequestId", request.id),
            ("HostId", self._service.host_id),
        ]
        return Response(xml.render("Error", children, ""), error.status, headers, XML_TYPE)


async def _lifespan(receive: Receive, send: Send) -> None:
    """Nothing is to be done at start and stop: who made the door closes it."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
