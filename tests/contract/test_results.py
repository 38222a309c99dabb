"""What every store of materialised results must do."""

from __future__ import annotations

import pytest

from events.errors import Retry
from infra.serving.results import Definition, Result, Results
from infra.serving.results_redis import RedisResults
from infra.serving.results_sqlite import SqliteResults


def result(body: bytes = b"{}", **more) -> Result:
    return Result(
        definition=Definition(model="digits", input="s3://lake/x", **more),
        body=body, etag='"1"', computed=1.5, version=3, digest="sha256:0", source="e",
    )  # fmt: skip


class ResultsContract:
    @pytest.fixture
    def again(self):
        """Opens the same results once more."""
        raise NotImplementedError

    @pytest.fixture
    def results(self, again):
        made = again()
        yield made
        made.close()

    def test_it_is_the_port(self, results):
        assert isinstance(results, Results)

    def test_a_result_comes_back_whole_and_outlives_who_put_it(self, results, again):
        made = result(bytes(range(256)) * 4096, trigger=("model", "dev.acme.*"), every_s=2.5)
        assert results.get("a") is None
        results.put("a", made)
        other = again()
        assert results.get("a") == other.get("a") == made
        other.close()

    def test_the_last_one_counts(self, results):
        results.put("a", result(b"1"))
        results.put("a", result(b"2"))
        assert results.get("a").body == b"2"

    def test_names_and_removal(self, results):
        for name in ("b", "a", "ü"):
            results.put(name, result())
        assert results.names() == ["a", "b", "ü"]
        assert (results.remove("a"), results.remove("a")) == (True, False)
        assert (results.names(), results.get("a")) == (["b", "ü"], None)


class TestSqlite(ResultsContract):
    @pytest.fixture
    def again(self, tmp_path):
        return lambda: SqliteResults(tmp_path / "new" / "results.db")

    def test_a_folder_that_cannot_be_written_is_told(self, tmp_path):
        (tmp_path / "new").write_bytes(b"")
        results = SqliteResults(tmp_path / "new" / "results.db")
        assert results.names() == [], "models can be served all the same"
        with pytest.raises(Retry, match=r"cannot be kept in .*new/results\.db .*sluice\.data"):
            results.put("a", result())
        results.close()


@pytest.mark.server
class TestRedis(ResultsContract):
    @pytest.fixture
    def again(self, redis_server):
        return lambda: RedisResults(redis_server.url)
