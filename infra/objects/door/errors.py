"""The errors of the S3 protocol: ``S3Error(code)`` knows its HTTP status, and is rendered as S3's XML by ``app``.

Source: Amazon S3 API Reference, "Error responses", list of error codes.
"""

from __future__ import annotations

#: Code -> HTTP status and what people read when the place it happened has nothing more precise to say.
CODES: dict[str, tuple[int, str]] = {
    "AccessDenied": (403, "Access denied: sign the request with one of this door's keys."),
    "AuthorizationHeaderMalformed": (400, "The Authorization header cannot be read."),
    "AuthorizationQueryParametersError": (400, "The signature's query parameters cannot be read."),
    "BadDigest": (400, "The checksum sent does not match the content received."),
    "BucketAlreadyOwnedByYou": (409, "The bucket exists already and is yours."),
    "BucketNotEmpty": (409, "The bucket still holds objects; delete them first."),
    "EntityTooLarge": (400, "The content is larger than one request may carry; use a multipart upload."),
    "EntityTooSmall": (400, "A part other than the last is smaller than 5 MiB."),
    "IllegalLocationConstraintException": (400, "Buckets of this door are in its own region only."),
    "IncompleteBody": (400, "The content ended before the length the headers promised."),
    "InternalError": (500, "The door failed; its log says why. Try again."),
    "InvalidAccessKeyId": (403, "The access key is not known here."),
    "InvalidArgument": (400, "An argument is not valid."),
    "InvalidBucketName": (400, "A bucket's name has 3-63 characters a-z 0-9 . - and starts and ends with a letter or digit."),
    "InvalidDigest": (400, "Content-MD5 must be the base64 of 16 bytes."),
    "InvalidPart": (400, "A part was not uploaded, or its ETag differs from the one given."),
    "InvalidPartNumber": (416, "The object has no such part."),
    "InvalidPartOrder": (400, "Part numbers must rise from one part to the next."),
    "InvalidPolicyDocument": (400, "The form's policy cannot be read."),
    "InvalidRange": (416, "The range lies outside the object."),
    "InvalidRequest": (400, "The request is not valid."),
    "InvalidStorageClass": (400, "There is one storage class here: STANDARD."),
    "InvalidTag": (400, "At most 10 tags; keys of 1-128 characters that differ, values of at most 256."),
    "InvalidURI": (400, "The path or query is not percent-encoded UTF-8."),
    "KeyTooLongError": (400, "A key has at most 1024 bytes in UTF-8."),
    "MalformedPOSTRequest": (400, "The form is not a well-formed multipart/form-data upload."),
    "MalformedXML": (400, "The XML is not well-formed or not what this operation expects."),
    "MaxPostPreDataLengthExceededError": (400, "The fields before the file are larger than 64 KiB."),
    "MetadataTooLarge": (400, "User metadata are limited to 2 KB."),
    "MethodNotAllowed": (405, "The resource does not know this method."),
    "MissingContentLength": (411, "The request needs a Content-Length header."),
    "MissingRequestBodyError": (400, "The request needs a body."),
    "NoSuchBucket": (404, "The bucket does not exist."),
    "NoSuchBucketPolicy": (404, "The bucket has no policy."),
    "NoSuchCORSConfiguration": (404, "The bucket has no CORS configuration."),
    "NoSuchKey": (404, "The key does not exist."),
    "NoSuchLifecycleConfiguration": (404, "The bucket has no lifecycle configuration."),
    "NoSuchPublicAccessBlockConfiguration": (404, "The bucket has no public access block."),
    "NoSuchTagSet": (404, "The bucket has no tags."),
    "NoSuchUpload": (404, "The upload does not exist: it was completed or aborted, or never started."),
    "NoSuchVersion": (404, "The version does not exist: this door keeps one version of each object, called null."),
    "NoSuchWebsiteConfiguration": (404, "The bucket has no website configuration."),
    "NotImplemented": (501, "This door does not have that function."),
    "ObjectLockConfigurationNotFoundError": (404, "The bucket has no object lock."),
    "OwnershipControlsNotFoundError": (404, "The bucket has no ownership controls."),
    "PreconditionFailed": (412, "A condition of the request does not hold."),
    "ReplicationConfigurationNotFoundError": (404, "The bucket has no replication."),
    "RequestHeaderSectionTooLarge": (400, "The headers are larger than 16 KiB."),
    "RequestTimeTooSkewed": (403, "The request's time differs from this machine's by more than 15 minutes; check the clocks."),
    "ServerSideEncryptionConfigurationNotFoundError": (404, "The bucket has no encryption configuration."),
    "ServiceUnavailable": (503, "The disk of the door takes no more; its log says why. Try again later."),
    "SignatureDoesNotMatch": (403, "The signature does not match: check the secret key and how the request was signed."),
    "XAmzContentSHA256Mismatch": (400, "The content's SHA-256 differs from x-amz-content-sha256."),
}


class S3Error(Exception):
    """An answer that refuses. ``code`` is S3's; ``message`` is for people; ``extra`` become further elements of the XML."""

    def __init__(self, code: str, message: str = "", *, headers: dict[str, str] | None = None, **extra: str) -> None:
        self.status, default = CODES[code]
        self.code = code
        self.message = message or default
        self.headers = headers or {}
        self.extra = extra
        super().__init__(f"{code}: {self.message}")


class NotModified(Exception):
    """A conditional read whose condition says: what you have is current (HTTP 304, no body). Carries the validators."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__("not modified")
        self.headers = headers
