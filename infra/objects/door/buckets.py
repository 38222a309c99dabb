"""Operations on buckets: create, delete, what they are asked about, tags, notifications."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from infra.objects.door import body, notify, store, xml
from infra.objects.door.errors import S3Error
from infra.objects.door.request import Request
from infra.objects.door.service import XML_TYPE, Service, answer, check_supported, check_tags, check_version, done
from infra.objects.door.store import Transaction

OWNER: list[xml.Pair] = [("ID", notify.OWNER), ("DisplayName", notify.OWNER)]
MOST_BUCKET_TAGS = 50


async def list_all(service: Service, request: Request) -> Response:
    """ListBuckets."""
    prefix, after = request.query.get("prefix", ""), request.query.get("continuation-token", "")
    most = request.number("max-buckets", 10_000)
    rows = service.store.reader.execute("SELECT name, created FROM buckets WHERE name > ? ORDER BY name", (after,))
    found = [row for row in rows if row["name"].startswith(prefix)]
    buckets: list[xml.Pair] = [
        ("Bucket", [("Name", row["name"]), ("CreationDate", store.iso(row["created"]))]) for row in found[:most]
    ]
    more: list[xml.Pair] = [("ContinuationToken", found[most - 1]["name"])] if 0 < most < len(found) else []
    return answer("ListAllMyBucketsResult", [("Owner", OWNER), ("Buckets", buckets), *more])


async def create(service: Service, request: Request) -> Response:
    """CreateBucket."""
    check_supported(request)
    data = await body.to_memory(request, service.threads)
    if data.strip():
        where = xml.parse(data, "CreateBucketConfiguration").get("LocationConstraint", "")
        if where not in ("", service.region):
            raise S3Error("IllegalLocationConstraintException", f"This door's region is {service.region}, not {where[:40]!r}.")
    if request.header("x-amz-bucket-object-lock-enabled").lower() == "true":
        raise S3Error("NotImplemented", "Object lock is not supported.")
    await service.commit(service.store.create_bucket(request.bucket))
    return Response(headers={"Location": f"/{request.bucket}"})


async def head(service: Service, request: Request) -> Response:
    """HeadBucket."""
    store.bucket(service.store.reader, request.bucket)
    return Response(headers={"x-amz-bucket-region": service.region, "Content-Type": XML_TYPE})


async def delete(service: Service, request: Request) -> Response:
    """DeleteBucket. Unfinished uploads go with it, objects forbid it."""
    name = request.bucket

    def work(transaction: Transaction) -> None:
        store.bucket(transaction.connection, name)
        if transaction.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (name,)).fetchone():
            raise S3Error("BucketNotEmpty", BucketName=name)
        parts = "SELECT file FROM parts JOIN uploads ON uploads.id = parts.upload WHERE uploads.bucket = ?"
        transaction.drop([row[0] for row in transaction.execute(parts, (name,))])
        transaction.execute("DELETE FROM uploads WHERE bucket = ?", (name,))
        transaction.execute("DELETE FROM buckets WHERE name = ?", (name,))

    await service.commit(work)
    return done()


async def location(service: Service, request: Request) -> Response:
    """GetBucketLocation. S3 calls us-east-1 by no name."""
    store.bucket(service.store.reader, request.bucket)
    region = "" if service.region == "us-east-1" else service.region
    text = xml.render("LocationConstraint", []).replace(b"></LocationConstraint>", f">{region}</LocationConstraint>".encode())
    return Response(text, media_type=XML_TYPE)


async def versioning(service: Service, request: Request) -> Response:
    """GetBucketVersioning: never enabled."""
    store.bucket(service.store.reader, request.bucket)
    return answer("VersioningConfiguration", [])


async def payment(service: Service, request: Request) -> Response:
    """GetBucketRequestPayment: the owner pays, nothing."""
    store.bucket(service.store.reader, request.bucket)
    return answer("RequestPaymentConfiguration", [("Payer", "BucketOwner")])


async def logging(service: Service, request: Request) -> Response:
    """GetBucketLogging: never enabled."""
    store.bucket(service.store.reader, request.bucket)
    return answer("BucketLoggingStatus", [])


async def acceleration(service: Service, request: Request) -> Response:
    """GetBucketAccelerateConfiguration: never enabled."""
    store.bucket(service.store.reader, request.bucket)
    return answer("AccelerateConfiguration", [])


async def forget(service: Service, request: Request) -> Response:
    """Delete a configuration that no bucket has: done already."""
    store.bucket(service.store.reader, request.bucket)
    return done()


async def put_acl(service: Service, request: Request) -> Response:
    """PutBucketAcl and PutObjectAcl: what is private stays so; anything else is refused."""
    check_supported(request)
    if not request.header("x-amz-acl") or await body.to_memory(request, service.threads):
        raise S3Error("NotImplemented", "Everything here is private: only the canned ACL private can be set.")
    if request.key:
        store.get(service.store.reader, request.bucket, request.key)
    else:
        store.bucket(service.store.reader, request.bucket)
    return Response()


async def acl(service: Service, request: Request) -> Response:
    """GetBucketAcl and GetObjectAcl: the owner has full control, nobody else has any."""
    if request.key:
        store.get(service.store.reader, request.bucket, request.key)
    else:
        store.bucket(service.store.reader, request.bucket)
    grantee = f'Grantee xmlns:xsi="{xml.XSI}" xsi:type="CanonicalUser"'
    grant: list[xml.Pair] = [("Grant", [(grantee, OWNER), ("Permission", "FULL_CONTROL")])]
    return answer("AccessControlPolicy", [("Owner", OWNER), ("AccessControlList", grant)])


async def notification(service: Service, request: Request) -> Response:
    """GetBucketNotificationConfiguration."""
    row = store.bucket(service.store.reader, request.bucket)
    return Response(notify.render(msgspec.json.decode(row["rules"], type=list[notify.Rule])), media_type=XML_TYPE)


async def put_notification(service: Service, request: Request) -> Response:
    """PutBucketNotificationConfiguration: replaces all of it; an empty one turns notifications off."""
    store.bucket(service.store.reader, request.bucket)
    rules = notify.read(await body.to_memory(request, service.threads), ["lake", *service.targets])
    await _set(service, request.bucket, "rules", rules)
    return Response()


async def tags(service: Service, request: Request) -> Response:
    """GetBucketTagging and GetObjectTagging."""
    if request.key:
        check_version(request)
        return _tag_set(store.get(service.store.reader, request.bucket, request.key).about.tags)
    found = msgspec.json.decode(store.bucket(service.store.reader, request.bucket)["tags"], type=dict[str, str])
    if not found:
        raise S3Error("NoSuchTagSet", BucketName=request.bucket)
    return _tag_set(found)


async def put_tags(service: Service, request: Request) -> Response:
    """PutBucketTagging and PutObjectTagging."""
    document = await service.document(request, "Tagging")
    sets = document.all("TagSet")
    if len(sets) != 1:
        raise S3Error("MalformedXML", "<Tagging> needs one <TagSet>.")
    pairs = [(tag.get("Key"), tag.get("Value")) for tag in sets[0].all("Tag")]
    if request.key:
        await _tag_object(service, request, check_tags(pairs))
        return Response()
    await _set(service, request.bucket, "tags", check_tags(pairs, MOST_BUCKET_TAGS))
    return done()


async def delete_tags(service: Service, request: Request) -> Response:
    """DeleteBucketTagging and DeleteObjectTagging."""
    if request.key:
        await _tag_object(service, request, {})
    else:
        await _set(service, request.bucket, "tags", {})
    return done()


async def _tag_object(service: Service, request: Request, found: dict[str, str]) -> None:
    check_version(request)

    def work(transaction: Transaction) -> None:
        old = store.get(transaction.connection, request.bucket, request.key)
        transaction.describe(old, msgspec.structs.replace(old.about, tags=found))

    await service.commit(work)


async def _set(service: Service, name: str, column: str, value: Any) -> None:
    def work(transaction: Transaction) -> None:
        store.bucket(transaction.connection, name)
        text = msgspec.json.encode(value).decode()
        transaction.execute(f"UPDATE buckets SET {column} = ? WHERE name = ?", (text, name))  # noqa: S608

    await service.commit(work)


def _tag_set(found: dict[str, str]) -> Response:
    tag_set: list[xml.Pair] = [("Tag", [("Key", key), ("Value", value)]) for key, value in sorted(found.items())]
    return answer("Tagging", [("TagSet", tag_set)])
