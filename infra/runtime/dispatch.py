"""Dispatch: an event to the functions that want it and back to their replies, with no log in between.

The heart of the runtimes whose platform delivers and retries by itself: a Knative container, AWS Lambda, a Lithops job. They
have no transaction, so their functions may ask for the object store, the settings and the event, but for no other port.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from events.claims import Claims, Unclaimed
from events.event import Event
from events.ports import ObjectStore, Settings
from events.route import Routes
from infra.config import Config, ConfigError
from infra.delivery.claim_check import ClaimCheck, is_claim
from infra.delivery.dedup import Inbox
from infra.delivery.expiry import is_expired
from infra.runtime.wiring import Wired, load, wire

if TYPE_CHECKING:
    from infra.objects.s3 import S3Store


class Dispatcher:
    """The functions of one process. Call it with an event; it gives what they yielded, or raises what they raised.

    With an ``inbox``, a repeated event is answered with what the first one was answered, and no function runs.
    """

    def __init__(
        self, routes: Routes, fixed: Mapping[type, Any], inbox: Inbox | None = None, claims: ClaimCheck | None = None
    ) -> None:
        self._routes, self._inbox, self._claims = routes, inbox, claims
        self._wired = {name: wire(handler, fixed, {}) for name, handler in routes.by_name.items()}
        self._plans: dict[str, tuple[tuple[Wired, ...], bool]] = {}

    def blocks(self, event: Event) -> bool:
        """Whether the event may take long: the store or the inbox is asked, and an event loop must not wait for that."""
        if self._inbox is not None or event.extensions.get("dataref") is not None:
            return True
        return self._plan(event.type)[1]

    def __call__(self, event: Event) -> list[Event]:
        """Run every function that wants the event, in the order they were loaded.

        Raises:
            Exception: what a function raised; those behind it have not run. Reply ids hang on the event and the function
                only, so running all of them again is harmless.

        """
        wanted = self._plan(event.type)[0]
        if not wanted or ("expirytime" in event.extensions and is_expired(event)):
            return []
        if self._inbox is not None:
            return self._inbox.once(event, lambda: self._run(wanted, event))
        return self._run(wanted, event)

    def _run(self, wanted: tuple[Wired, ...], event: Event) -> list[Event]:
        if self._claims is not None and is_claim(event):
            event = self._claims.redeem(event)
        if len(wanted) == 1:
            return wanted[0].invoke(event, None)  # no port of these functions asks for a transaction
        return [reply for each in wanted for reply in each.invoke(event, None)]

    def _plan(self, event_type: str) -> tuple[tuple[Wired, ...], bool]:
        """The functions for a type, and whether one of them is slow."""
        found = self._plans.get(event_type)
        if found is None:
            wanted = tuple(self._wired[handler.name] for handler in self._routes.match(event_type))
            found = wanted, any(each.slow for each in wanted)
            if len(self._plans) < 10_000:  # types come from outside: do not let them fill the memory
                self._plans[event_type] = found
        return found


def dispatcher(config: Config) -> Dispatcher:
    """The dispatcher of ``sluice.functions``; the object store is only connected to if a function asks for it.

    Raises:
        ConfigError: no functions are named.
        WiringError: a function asks for a port that needs a lake (the catalogue, models, profiles).

    """
    if not config.functions:
        raise ConfigError("sluice.functions is empty: name the modules to run, e.g. SLUICE_FUNCTIONS='[functions.ingest]'")
    routes = load(config.functions)
    fixed: dict[type, Any] = {Settings: config.settings, Claims: Unclaimed()}
    claims = None
    if any(ObjectStore in get_type_hints(handler.function).values() for handler in routes.by_name.values()):
        fixed[ObjectStore] = store(config)
        claims = ClaimCheck(fixed[ObjectStore], config.bucket)
    inbox = Inbox(config.folder / "inbox.db") if config.runtime.inbox else None
    return Dispatcher(routes, fixed, inbox, claims)


def store(config: Config) -> S3Store:
    """The configured object store; without an endpoint AWS, with the credentials that boto3 finds."""
    from infra.objects.s3 import S3Store  # a start does not wait for a client that no function asks for

    wanted = config.objects
    return S3Store(wanted.endpoint, wanted.access_key, wanted.secret_key, wanted.region)
