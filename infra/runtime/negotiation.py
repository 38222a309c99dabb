"""Content negotiation: which of several forms a client would rather have. Source: RFC 9110, section 12.5.1."""

from __future__ import annotations

from collections.abc import Sequence


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The media type of ``offered`` that an ``Accept`` header wants most; the first where it has no opinion, or wants none.

    Of those that are wanted alike the first is taken. Parameters other than ``q`` are not looked at.
    """
    wanted: dict[str, float] = {}
    for each in accept.split(","):
        type_, *parameters = (part.strip().lower() for part in each.split(";"))
        wanted[type_] = max(wanted.get(type_, 0.0), _quality(parameters))

    def quality(type_: str) -> float:
        names = (type_, f"{type_.partition('/')[0]}/*", "*/*")
        return next((wanted[name] for name in names if name in wanted), 0.0)

    return max(offered, key=quality)


def _quality(parameters: Sequence[str]) -> float:
    for each in parameters:
        name, _, value = each.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0.0 <= quality <= 1.0 else 0.0
    return 1.0
