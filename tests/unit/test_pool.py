"""Connections are closed by nobody while they are used."""

import socket

import pytest

from events.errors import Retry
from infra import postgres
from infra.pool import Pool


class Connection:
    """Counts its closes."""

    def __init__(self):
        self.closes = 0
        self.broken = False

    def close(self):
        """Note it."""
        self.closes += 1


def test_a_connection_is_used_again():
    pool = Pool(Connection)
    with pool.reading() as one, pool.reading() as two:
        assert one is not two
    with pool.reading() as again:
        assert again is two or again is one
    pool.close()
    assert (one.closes, two.closes) == (1, 1)


def test_what_is_used_at_the_close_is_closed_when_it_is_given_back():
    pool = Pool(Connection)
    with pool.reading() as used:
        pool.close()
        assert used.closes == 0
    assert used.closes == 1
    with pool.reading() as late:
        pass
    assert late.closes == 1


def test_a_broken_connection_is_not_used_again():
    pool = Pool(Connection, lambda connection: not connection.broken)
    with pool.reading() as broken:
        broken.broken = True
    assert broken.closes == 1
    with pool.reading() as other:
        assert other is not broken
    pool.close()


def test_a_database_that_is_away_is_asked_again_later():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Retry, match="cannot be reached now"), postgres.Pool(f"postgresql://u@127.0.0.1:{port}/d").reading():
        pass
