"""A disk that is full: whoever writes is told to come again, the log has one line of it, and reading goes on."""

from __future__ import annotations

import logging
from typing import Any

from infra.objects.door import Door
from tests.unit.door.conftest import ACCESS, SECRET


def room(door: Door, pages: int) -> None:
    """Let the door's database grow by so many pages and no more: what SQLite says then is what it says of a full disk."""

    def limit(connection: Any) -> None:
        used = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={used + pages}")

    door._store._writer.submit(limit).result()


def test_a_full_disk_is_told_once_and_refused_with_a_reason(tmp_path, serve, caplog):
    door = Door(tmp_path, {ACCESS: SECRET})
    with serve(door) as endpoint:
        assert endpoint.call("PUT", "/raw").status == 200
        assert endpoint.call("PUT", "/raw/first", b"1").status == 200
        room(door, 0)
        answers = [endpoint.call("PUT", f"/raw/{'k' * 900}{number}", b"2") for number in range(20)]
        refused = [answer for answer in answers if answer.status != 200]
        assert len(refused) > 5
        assert all(answer.status == 503 and b"ServiceUnavailable" in answer.body for answer in refused)
        assert endpoint.call("GET", "/raw/first").body == b"1"
        lines = [record for record in caplog.records if record.name == "sluice.door" and record.levelno >= logging.WARNING]
        assert len([line for line in lines if "the disk is full" in line.getMessage()]) == 1
        assert all(line.exc_info is None for line in lines)
        room(door, 10_000)
        assert endpoint.call("PUT", "/raw/last", b"3").status == 200
        assert caplog.records[-1].getMessage() == "over: the door cannot write"
    door.close()
