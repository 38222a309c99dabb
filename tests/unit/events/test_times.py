"""Times of events: the quick look at most of them decides as the whole rule does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.attributes import check_time
from events.errors import BadEvent

PARTS = st.tuples(
    st.sampled_from(["0000", "0001", "1900", "2000", "2023", "2024", "9999", "24"]),
    st.sampled_from(["00", "01", "02", "04", "09", "12", "13"]),
    st.sampled_from(["00", "01", "28", "29", "30", "31", "32", "1"]),
    st.sampled_from(["T", "t", " "]),
    st.sampled_from(["00", "23", "24"]),
    st.sampled_from(["00", "59", "60"]),
    st.sampled_from(["00", "59", "60", "61"]),
    st.sampled_from(["", ".0", ".123456", ".", ".1a", ".²", ".١", ",5"]),
    st.sampled_from(["Z", "z", "", "+00:00", "-23:59", "+24:00", "ZZ"]),
)
DAYS = {"01": 31, "02": 28, "04": 30, "09": 30, "12": 31}


def is_time(year: str, month: str, day: str, t: str, hour: str, minute: str, second: str, fraction: str, offset: str) -> bool:
    """RFC 3339, 5.6 and 5.7, read slowly."""
    if len(year) != 4 or year == "0000" or len(day) != 2 or month not in DAYS or t == " ":
        return False
    last = DAYS[month] + (month == "02" and year in ("2000", "2024"))
    if not 1 <= int(day) <= last or hour == "24" or minute == "60" or second == "61":
        return False
    if fraction not in ("", ".0", ".123456") or offset not in ("Z", "z", "+00:00", "-23:59"):
        return False
    if second != "60":
        return True
    shift = -1439 if offset == "-23:59" else 0
    return (int(hour) * 60 + int(minute) - shift) % 1440 == 1439


@settings(max_examples=500)
@given(PARTS)
def test_times(parts):
    year, month, day, t, hour, minute, second, fraction, offset = parts
    text = f"{year}-{month}-{day}{t}{hour}:{minute}:{second}{fraction}{offset}"
    if is_time(*parts):
        check_time("time", text)
    else:
        with pytest.raises(BadEvent, match="is no RFC 3339 time"):
            check_time("time", text)
