"""Write a file into a repository, its sidecar first: a file that is seen has one."""

from __future__ import annotations

from events.models import Models, Repository
from events.ports import ObjectInfo, ObjectStore
from functions.repository import sidecar

JSON = "application/json"


def write(objects: ObjectStore, repository: Repository, key: str, content: bytes, kind: str) -> ObjectInfo:
    """Write a file of the content type ``kind`` and its sidecar; what the store says of the file."""
    beside = sidecar.text(digest_of(content, repository.digest), key.rsplit("/", 1)[-1])
    now = sidecar.key(key, repository.digest)
    objects.write(repository.bucket, now, beside, content_type="text/plain")
    info = objects.write(repository.bucket, key, content, content_type=kind)
    others = {sidecar.key(key, algorithm) for algorithm in sidecar.ALGORITHMS} - {now}
    for each in list(objects.list(repository.bucket, f"{key}.")):
        if each.key in others:  # of what was there when another algorithm was configured
            objects.delete(repository.bucket, each.key)
    return info


def digest_of(content: bytes, algorithm: str) -> str:
    """The hexadecimal digest."""
    made = sidecar.hasher(algorithm)
    made.update(content)
    digest: str = made.hexdigest()
    return digest


def configured(models: Models, name: str) -> Repository | None:
    """The repository of that name, if it is still configured."""
    return next((found for found in models.repositories() if found.name == name), None)
