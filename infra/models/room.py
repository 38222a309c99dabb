"""Memory for a file whose size is known before it is read: made once, and of huge pages, where the system has them.

Of small pages every one costs an interrupt: together about as much as the SHA-256 of what is put there.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from io import BytesIO

#: Nothing larger is made beforehand, whatever a record claims: no ONNX file may have more (a limit of protobuf).
MOST = 2 << 30
#: From here on huge pages are asked for.
LARGE = 4 << 20


def room(size: int) -> BytesIO:
    """A buffer to be filled from its beginning and truncated there; it gives its bytes away without a copy."""
    made = BytesIO(bytes(min(max(size, 0), MOST)))
    if LARGE <= size <= MOST and sys.platform == "linux":
        with made.getbuffer() as view:
            where = ctypes.addressof(ctypes.c_char.from_buffer(view))
            start = -(-where // mmap.PAGESIZE) * mmap.PAGESIZE
            length = ctypes.c_size_t(where + len(view) - start)
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), length, mmap.MADV_HUGEPAGE)  # a hint: it may be declined
    return made
