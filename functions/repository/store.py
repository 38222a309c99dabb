"""Write a file into a repository, its sidecar first: a file that is seen has one."""

from __future__ import annotations

from events.ports import Models, ObjectInfo, ObjectStore, Repository
from functions.repository import sidecar

JSON = "application/json"


def write(objects: ObjectStore, repository: Repository, key: str, content: bytes, kind: str) -> ObjectInfo:
    """Write a file of the content type ``kind`` and its sidecar; what the store says of the file."""
    beside = sidecar.text(digest_of(content, repository.digest), key.rsplit("/", 1)[-1])
    objects.write(repository.bucket, sidecar.key(key, repository.digest), beside, content_type="text/plain")
    return objects.write(repository.bucket, key, content, content_type=kind)


def digest_of(content: bytes, algorithm: str) -> str:
    """The hexadecimal digest."""
    made = sidecar.hasher(algorithm)
    made.update(content)
    digest: str = made.hexdigest()
    return digest


def configured(models: Models, name: str) -> Repository | None:
    """The repository of that name, if it is still configured."""
    return next((found for found in models.repositories() if found.name == name), None)
