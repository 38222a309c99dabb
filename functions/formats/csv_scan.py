"""One look at every byte of a CSV file, while it streams by: how many records, and where some thousand of them begin.

A newline inside quotes ends no record, so each byte needs to know whether it is quoted. That is the running parity of the
quotes before it, computed 64 bytes at a time on bit masks (the method of Langdale and Lemire, "Parsing Gigabytes of JSON per
Second", VLDB Journal 28, 2019, section 3.1.1). Quotes that stand where none may open (``5" pipe``) are literal, as Python's csv
module and Arrow read them; blocks that have such quotes take a slower, exact way.
"""

from __future__ import annotations

import base64
import codecs
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from functions.formats.records import BOM, encoding_of, narrow

Words = NDArray[np.uint64]
HEAD = 1 << 16  # bytes from which delimiter and encoding are guessed
BLOCK = 1 << 18  # bytes worked on at once: their masks stay in the processor's cache
MARKS = 4096  # record starts kept at most, evenly spread
STRAY = 20_000_000  # quotes looked at one by one before giving up on a file that is hardly CSV
DELIMITERS = ",;\t|"
ONE = np.uint64(1)
TOP = np.uint64(63)


class CsvScanner:
    """The scanner of ``functions.formats.csv``: feed it every chunk once, then ask for the result."""

    def __init__(self, delimiter_of: Any) -> None:
        self._delimiter_of, self._waiting, self._delimiter = delimiter_of, bytearray(), ""
        self._encoding = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._pending = False  # whether the decoder waits for the rest of a character
        self._position = self._records = self._stray = 0
        self._quoted, self._opens, self._ended = False, True, True
        self._shift = 0
        self._starts = np.zeros(0, dtype=np.int64)
        self._before = np.zeros(0, dtype=np.int64)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. The result is the same however they come in pieces."""
        at = 0
        if self._waiting:
            at = BLOCK - len(self._waiting)
            self._waiting += chunk[:at]
            if len(self._waiting) < BLOCK:
                return
            self._take(bytes(self._waiting))
            self._waiting.clear()
        while len(chunk) - at >= BLOCK:
            self._take(chunk[at : at + BLOCK])
            at += BLOCK
        self._waiting += chunk[at:]

    def result(self) -> dict[str, Any]:
        """What was seen.

        ``records`` (blank lines are none), ``body`` (where the second record begins, -1 if nowhere), and ``marks``: record
        starts and the number of records before each, which ``functions.formats.records.unpack`` reads. ``marks`` is missing
        where the text cannot be cut.
        """
        self._take(bytes(self._waiting))
        self._waiting.clear()
        if self._pending:
            self._encoding = "latin-1"
        found: dict[str, Any] = {"delimiter": self._delimiter, "encoding": self._encoding, "bytes": self._position}
        if self._stray > STRAY:
            return found
        if self._encoding.startswith("utf-16"):  # positions so far were of characters
            self._starts = self._starts * 2 + len(codecs.BOM_UTF16)
            found["bytes"] = self._position * 2 + len(codecs.BOM_UTF16)
        packed = np.concatenate([np.diff(self._starts, prepend=0), np.diff(self._before, prepend=0)]).astype("<i8")
        return found | {
            "records": self._records + (not self._ended),
            "body": int(self._starts[0]) if len(self._starts) else -1,
            "marks": base64.b64encode(zstandard.compress(packed.tobytes(), 9)).decode(),
        }

    @property
    def refused(self) -> str:
        """Why the text cannot be cut, or ""."""
        return "too many of its quotes stand inside of fields" if self._stray > STRAY else ""

    def _take(self, data: bytes) -> None:
        if not self._delimiter:
            self._encoding = encoding_of(data[:HEAD])
            self._delimiter = self._delimiter_of(data[:HEAD], self._encoding)
            if data.startswith(BOM):
                self._position, data = len(BOM), data[len(BOM) :]
            elif self._encoding.startswith("utf-16"):
                data = data[len(codecs.BOM_UTF16) :]
        if self._encoding.startswith("utf-16"):
            data = narrow(data, self._encoding).tobytes()
        if self._stray > STRAY:
            self._position += len(data)
        elif data:
            self._block(data)

    def _block(self, data: bytes) -> None:
        array = np.frombuffer(data, dtype=np.uint8)
        if self._encoding == "utf-8" and (self._pending or not data.isascii()):
            self._check_utf8(data)
        feeds = array == 10
        returns = b"\r" in data
        ends = feeds | (array == 13) if returns else feeds
        end_words = _words(ends)
        feed_words = _words(feeds) if returns else end_words
        last = data[-1]
        opens = last in (10, 13, ord(self._delimiter))
        if self._quoted or b'"' in data:
            quotes = array == 34
            inside, closes = self._inside(array, quotes, ends)
            end_words, feed_words = end_words & ~inside, feed_words & ~inside
            self._quoted = bool(inside[(len(data) - 1) >> 6] >> np.uint64((len(data) - 1) & 63) & ONE)
            opens = opens or (last == 34 and not self._quoted and closes)
        counted = end_words & ~_shifted(end_words, self._ended)
        before = np.cumsum(np.bitwise_count(counted), dtype=np.int64)
        self._mark(feed_words, counted, before)
        self._records += int(before[-1])
        self._opens = opens
        self._ended = not self._quoted and last in (10, 13)
        self._position += len(data)

    def _inside(self, array: NDArray[np.uint8], quotes: NDArray[np.bool_], ends: NDArray[np.bool_]) -> tuple[Words, bool]:
        """Which bytes are quoted (an opening quote is, a closing one is not); whether a quote at the end would have closed."""
        words = _words(quotes)
        inside = _parity(words, self._quoted)
        may_open = _words(ends | quotes | (array == ord(self._delimiter)))
        if not (words & inside & ~_shifted(may_open, self._opens)).any():
            return inside, True
        places = np.flatnonzero(quotes)
        self._stray += len(places)
        kept = self._real(array.tobytes(), places.tolist())
        real = np.zeros(len(array), dtype=bool)
        real[kept] = True
        return _parity(_words(real), self._quoted), bool(kept) and kept[-1] == len(array) - 1

    def _real(self, data: bytes, places: list[int]) -> list[int]:
        """The quotes that open or close, in a block that also has literal ones."""
        starters = b"\n\r" + self._delimiter.encode()
        quoted, closed, kept = self._quoted, -1, []
        for place in places:
            if quoted:
                quoted, closed = False, place
            elif closed == place - 1 >= 0 or (data[place - 1] in starters if place else self._opens):
                quoted = True  # a doubled quote closes and opens again, which comes to the same
            else:
                continue
            kept.append(place)
        return kept

    def _mark(self, feeds: Words, counted: Words, before: NDArray[np.int64]) -> None:
        """Keep the first record start of every ``2**shift`` bytes; where they become too many, of every twice as many."""
        last = int(self._starts[-1]) if len(self._starts) else -1
        if (self._position + 64 * len(feeds)) >> self._shift == last >> self._shift:
            return
        if self._shift < 6:
            places = np.flatnonzero(np.unpackbits(feeds.view(np.uint8), bitorder="little"))
        else:  # at most one in 64 bytes is wanted: the first in a word will do
            words = self._words_to_mark(feeds, last >> self._shift)
            places = words * 64 + np.bitwise_count((feeds[words] & (~feeds[words] + ONE)) - ONE)
        word, bit = places >> 6, (places & 63).astype(np.uint64)
        later = counted[word] & ~((np.uint64(2) << bit) - ONE)
        records = self._records + before[word] - np.bitwise_count(later)
        starts = self._position + places + 1
        fresh = _first(starts >> self._shift, last >> self._shift)
        fresh &= _first(records, int(self._before[-1]) if last >= 0 else 0)  # blank lines begin no record
        self._starts = np.concatenate([self._starts, starts[fresh]])
        self._before = np.concatenate([self._before, records[fresh]])
        while len(self._starts) > MARKS:
            self._shift += 1
            kept = _first(self._starts >> self._shift, -1)
            self._starts, self._before = self._starts[kept], self._before[kept]

    def _words_to_mark(self, feeds: Words, last: int) -> NDArray[np.int64]:
        """Of each run of ``2**shift`` bytes behind run ``last``, the first word with a newline."""
        shift, position = self._shift, self._position
        if shift < 13:  # many short runs: all at once
            words = np.flatnonzero(feeds)
            return words[_first(position + words * 64 >> shift, last)]
        found = []
        for run in range(max(last + 1, position >> shift), (position + 64 * len(feeds) - 1 >> shift) + 1):
            low = max(0, -(position - (run << shift) >> 6))
            high = max(0, -(position - (run + 1 << shift) >> 6))
            if low < high and not feeds[low]:  # most often the very first has one
                low += int((feeds[low:high] != 0).argmax())
            if low < min(high, len(feeds)) and feeds[low]:
                found.append(low)
        return np.array(found, dtype=np.int64)

    def _check_utf8(self, data: bytes) -> None:
        try:
            self._decoder.decode(data)
            self._pending = bool(self._decoder.getstate()[0])
        except UnicodeDecodeError:
            self._encoding, self._pending = "latin-1", False


def _first(values: NDArray[np.int64], before: int) -> NDArray[np.bool_]:
    """Which of these rising values are greater than the one before them."""
    rises = np.empty(len(values), dtype=bool)
    rises[:1] = values[:1] > before
    np.greater(values[1:], values[:-1], out=rises[1:])
    return rises


def _words(mask: NDArray[np.bool_]) -> Words:
    """A mask as bits, the first in the lowest bit of the first word."""
    packed = np.packbits(mask, bitorder="little")
    if len(packed) % 8:
        packed = np.concatenate([packed, np.zeros(-len(packed) % 8, dtype=np.uint8)])
    return packed.view(np.uint64)


def _shifted(words: Words, carry: bool) -> Words:
    """Every bit one place later; ``carry`` comes in first."""
    result = words << ONE
    result[1:] |= words[:-1] >> TOP
    result[0] |= np.uint64(carry)
    return result


def _parity(words: Words, carry: bool) -> Words:
    """For every bit whether the number of set bits up to and with it is odd (``carry`` counts as one more)."""
    result = words.copy()
    for step in (1, 2, 4, 8, 16, 32):
        result ^= result << np.uint64(step)
    odd = np.bitwise_xor.accumulate(result >> TOP)
    flip = np.empty_like(odd)
    flip[0], flip[1:] = int(carry), odd[:-1] ^ np.uint64(carry)
    result ^= np.uint64(0) - flip
    return result
