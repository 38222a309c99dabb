"""Sockets that somebody else keeps open: while the service restarts, connections wait in them instead of being refused.

Source: systemd's sd_listen_fds(3): from descriptor 3 on there are ``LISTEN_FDS`` sockets, meant for process ``LISTEN_PID``,
named by ``LISTEN_FDNAMES``. Ours are ``http`` and ``s3``; without such names they come in this order.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from infra.config import ConfigError

FIRST = 3
NAMES = ("http", "s3")


def inherited(environment: Mapping[str, str], fd: int | None = None) -> dict[str, int]:
    """The descriptors handed to this process, by the names ``http`` and ``s3``. ``fd`` is that of ``http``, given by hand."""
    if fd is not None:
        return {"http": fd}
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return {}
    try:
        count = int(environment.get("LISTEN_FDS", "0"))
    except ValueError as error:
        raise ConfigError(f"LISTEN_FDS={environment['LISTEN_FDS']!r} is no number of sockets") from error
    told = environment.get("LISTEN_FDNAMES", "").split(":")
    names = told if len(told) == count and set(told) <= set(NAMES) else NAMES
    return dict(zip(names, range(FIRST, FIRST + count), strict=False))


def adopt(descriptor: int) -> socket.socket:
    """The listening socket of a descriptor. Raises ``ConfigError`` if it is none."""
    try:
        bound = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigError(f"file descriptor {descriptor} is no socket: {error.strerror}") from error
    if bound.type != socket.SOCK_STREAM or not bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        bound.close()
        raise ConfigError(f"file descriptor {descriptor} is no listening stream socket")
    os.set_inheritable(descriptor, False)
    return bound
