"""How long points are kept: as they were written, and as hourly and daily roll-ups."""

from __future__ import annotations

from typing import Literal, NamedTuple

from infra.config import Series
from infra.series.batch import ROLLED, Bounds

Tier = Literal["raw", "1h", "1d"]
HOUR, DAY = 3_600_000, 86_400_000
#: No point may be further in the future than this: VictoriaMetrics drops it without a word.
AHEAD = 2 * DAY - HOUR


def tier(metric: str) -> Tier:
    """The tier that a metric's points belong to."""
    found = ROLLED.fullmatch(metric)
    return "raw" if found is None else "1h" if found[2] == "1h" else "1d"


def retention(settings: Series) -> Retention:
    """The configured retention."""
    return Retention(settings.raw_days, settings.hourly_days, settings.daily_days)


class Retention(NamedTuple):
    """Days that the points of each tier are kept."""

    raw: float
    hourly: float
    daily: float

    def oldest(self, of: Tier, now: int) -> int:
        """The oldest time (ms) a tier still has."""
        return now - round({"raw": self.raw, "1h": self.hourly, "1d": self.daily}[of] * DAY)

    def bounds(self, now: int) -> Bounds:
        """The times of points that may be written."""
        return Bounds(self.oldest("raw", now), now + AHEAD)
