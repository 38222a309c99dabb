"""The configuration: the ``sluice:`` section of ``lithops_config.yaml``; environment variables ``SLUICE_*`` override.

Nothing else is read. ``SLUICE_HTTP_PORT=0`` overrides ``http: {port: ...}``; a value is YAML (``SLUICE_WORKERS=4``).
"""

from __future__ import annotations

import os
from copy import copy
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from events.models import Repository
from events.ports import Settings
from events.types import WorkerSize

CONFIG_FILE = "lithops_config.yaml"
#: See ``infra/access/scopes.py``.
Scope = Literal["read", "write", "events", "graph", "admin"]
#: What a binding calls a task: it becomes a part of keys.
TaskName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")]
TaskPlace = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


class ConfigError(ValueError):
    """The configuration cannot be used; the text names the file and the setting."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the configuration. A setting nobody knows is an error: a misspelt one must not be silent."""


class Http(Section, frozen=True, kw_only=True):
    """The event endpoint and API. Who has the ``token`` may do everything; with one, all but the health probes ask who calls.

    Events are welcome from senders that name one of ``webhook_origins`` (``*`` is any), ``webhook_rate`` a minute from each (0:
    any number). With ``query_token``, senders of events that can set no header may put the token into ``?access_token=``.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str = ""
    query_token: bool = False
    webhook_origins: list[str] = msgspec.field(default_factory=lambda: ["*"])
    webhook_rate: int = 0


class Door(Section, frozen=True, kw_only=True):
    """The embedded S3 endpoint. Without keys, a pair is made at the first start and kept in ``DATA/credentials``."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 9000
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""
    notify: bool = True
    targets: dict[str, str] = {}


class Objects(Section, frozen=True, kw_only=True):
    """The object store that functions read. Without an endpoint it is the embedded door."""

    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""


class Credential(Section, frozen=True, kw_only=True):
    """Keys of an object store, for providers that name it."""

    name: str
    access_key: str
    secret_key: str


class Provider(Section, frozen=True, kw_only=True):
    """A store whose buckets are written ``NAME:BUCKET``; ``source`` is how its notifications read: ``ceph:s3.zone1.*``."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    endpoint: str
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""
    source: str = ""


class Queue(Section, frozen=True, kw_only=True):
    """An SQS queue to poll. ``endpoint`` and keys as boto3 finds them unless given; ``wait_s`` is the length of a long poll."""

    url: str
    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = ""
    wait_s: int = 5


class Sources(Section, frozen=True, kw_only=True):
    """Where events come from besides posts to the endpoint.

    ``url`` is this lake's HTTP endpoint as stores reach it; ``token`` is the secret in the address they push to, made at the
    first start and kept in ``DATA/push-token`` unless given. ``topics`` are the ARNs of the SNS topics whose subscription is
    confirmed (at ``sns_endpoint``, AWS's own unless given) and whose messages are taken; with ``sns_verify``, those of no other
    topic, and only if SNS signed them (by the certificate in the file ``sns_certificate``, else by the one they name).
    ``queues`` is what is polled, ``listen`` the addresses (``s3://BUCKET/PREFIX``) whose stream of changes is followed, which
    MinIO and the embedded door offer.
    """

    url: str = ""
    token: str = ""
    topics: list[str] = []
    sns_endpoint: str = ""
    sns_verify: bool = True
    sns_certificate: str = ""
    queues: list[Queue] = []
    listen: list[str] = []


class Reconcile(Section, frozen=True, kw_only=True):
    """Sweeps: every ``every_s`` seconds (0 is never) over ``buckets`` (addresses ``s3://BUCKET/PREFIX``), or over all."""

    buckets: list[str] = []
    every_s: float = 0.0


class Planner(Section, frozen=True, kw_only=True):
    """What plans may choose from: up to ``max_workers`` workers, of one of these memory sizes, at these prices.

    A worker has ``vcpus``, or one for every ``mb_per_vcpu`` of its memory where processors come with memory (1769 on AWS
    Lambda). ``cores`` limits the vCPUs of all workers together. 0 means: this machine's for ``max_workers`` and ``cores``.
    """

    max_workers: int = 0
    memory_mb: list[int] = msgspec.field(default_factory=lambda: [512, 1024, 2048, 4096])
    vcpus: float = 1.0
    mb_per_vcpu: int = 0
    cores: float = 0.0
    price_per_gb_s: float = 0.0000166667
    price_per_request: float = 0.0000002

    @property
    def sizes(self) -> list[WorkerSize]:
        """The worker configurations to choose from, smallest first."""
        most = self.max_workers or cores()
        return [
            WorkerSize(memory_mb=mb, vcpus=mb / self.mb_per_vcpu if self.mb_per_vcpu else self.vcpus, max_workers=most)
            for mb in sorted(self.memory_mb)
        ]


class Access(Section, frozen=True, kw_only=True):
    """Who may call: besides ``http.token`` and API keys, bearers of tokens of an OpenID Connect ``issuer`` for ``audience``.

    ``jwks`` is the file or URL of its public keys. ``user_claim`` names the user, ``groups_claim`` the groups (or a path);
    ``groups`` maps its groups to the lake's. Tokens have those ``scopes`` that ``scope_claim``, if set, lists.
    """

    issuer: str = ""
    audience: str = ""
    jwks: str = ""
    user_claim: str = "sub"
    groups_claim: str = "groups"
    groups: dict[str, str] = {}
    scope_claim: str = ""
    scopes: list[Scope] = msgspec.field(default_factory=lambda: ["read", "write", "events"])
    leeway_s: Annotated[int, msgspec.Meta(ge=0)] = 30


class EventLog(Section, frozen=True, kw_only=True):
    """The event log: embedded without ``url``, else on the Redis at ``redis://host:port/database`` under keys of ``prefix``.

    Redis knows events for ``remember_h`` hours (a repetition has no effect) and keeps about the newest ``keep`` for readers.
    """

    url: str = ""
    prefix: str = "sluice"
    keep: int = 100_000
    remember_h: float = 168.0


class CatalogStore(Section, frozen=True, kw_only=True):
    """The catalogue: in the lake's own SQLite database without ``url``, else in PostgreSQL (and the event log in Redis)."""

    url: str = ""


class Delivery(Section, frozen=True, kw_only=True):
    """Retries and leases: attempts before a dead letter (of functions, of subscribers' sinks), first and longest back-off,
    for how long a worker may be silent before another takes over, after how many days events are forgotten (0: never), and how
    far behind it may be (the age of the oldest delivery that could run; 0 is any) before new events are refused with 429.
    """

    attempts: int = 5
    sink_attempts: int = 20
    backoff_s: float = 0.5
    backoff_max_s: float = 60.0
    lease_s: float = 10.0
    retain_days: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    most_age_s: float = 3600.0


class Runtime(Section, frozen=True, kw_only=True):
    """Functions without a log: a container, AWS Lambda, a Lithops job. ``sink`` is where their replies are posted; with an
    ``inbox`` (``DATA/inbox.db``) a repeated event is answered from memory. ``host`` is the address that a container serves on,
    ``log_format`` ``text`` or ``json``.
    """

    host: str = "0.0.0.0"  # noqa: S104 - a container is reached from outside of it
    sink: str = ""
    inbox: bool = False
    log_format: Literal["text", "json"] = "text"


class Serving(Section, frozen=True, kw_only=True):
    """``sluice serve``: the ``models`` (all, unless named) of ``repository`` (or the first) over the Open Inference Protocol.

    What ``alias`` means is served, or the latest version of a model without it; ``canary_share`` (0 to 1) of the requests go to
    what the alias ``canary`` means. ``devices`` are tried in order (``cuda``, ``cpu``); a run may take ``seconds``, and the
    server hold ``memory_gb`` (0: three quarters of what there is). Materialised results are kept in ``DATA/results.db``, or in
    the Redis at ``results``. With a ``token``, whoever changes what is served or kept needs it; without one only a loopback
    ``host`` takes changes.
    """

    host: str = "127.0.0.1"
    port: int = 8081
    token: str = ""
    repository: str = ""
    models: list[str] = []
    alias: str = "champion"
    canary: str = ""
    canary_share: float = 0.0
    devices: list[Literal["cpu", "cuda"]] = msgspec.field(default_factory=lambda: ["cpu"])
    threads: int = 1
    seconds: float = 30.0
    memory_gb: float = 0.0
    results: str = ""


class Kubernetes(Section, frozen=True, kw_only=True):
    """The cluster of ``sluice deploy --apply``: its API's URL, a bearer token (or the file that holds one), the file of the
    authority that signed its certificate, and the namespace.
    """

    server: str = ""
    token: str = ""
    token_file: str = ""
    ca_file: str = ""
    namespace: str = "default"


class Series(Section, frozen=True, kw_only=True):
    """Time series: embedded (Parquet in ``bucket``) without ``url``, else on the VictoriaMetrics there.

    Points are kept ``raw_days`` as they came, ``hourly_days`` as hourly roll-ups, ``daily_days`` as daily ones. Every
    ``every_s`` seconds what was written becomes segments; the newest ``hot_points`` points of those are kept in memory.
    """

    url: str = ""
    bucket: str = "series"
    raw_days: Annotated[float, msgspec.Meta(gt=0)] = 7.0
    hourly_days: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    daily_days: Annotated[float, msgspec.Meta(gt=0)] = 365.0
    every_s: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    hot_points: Annotated[int, msgspec.Meta(ge=0)] = 20_000_000


#: The classes that are announced unless others are.
ANNOUNCED = ["PersonAtRisk", "PersonToRescue", "ShelteredPerson", "ThreatenedShelter", "ObsoleteInstruction"]


class Semantics(Section, frozen=True, kw_only=True):
    """Reasoning: ``announce`` are the classes and properties of which an event tells when something becomes one, or is no more.

    They are IRIs or prefixed names. Triples are embedded without ``graph_url``, else in that Virtuoso; observations stay for
    ``observation_days``. A SPARQL query may take ``query_s`` and give ``query_mb``. Ontologies are those of ``ontologies``.
    """

    graph_url: str = ""
    graph_user: str = "dba"
    graph_password: str = ""
    observation_days: Annotated[float, msgspec.Meta(gt=0)] = 7.0
    query_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    query_mb: Annotated[int, msgspec.Meta(gt=0)] = 64
    ontologies: str = "s3://ontologies/"
    announce: list[str] = msgspec.field(default_factory=lambda: [f"per:{each}" for each in ANNOUNCED])


class Config(Section, frozen=True, kw_only=True):
    """All settings. ``data`` is the folder of the embedded profile; ``bucket`` is the lake's own, for indexes and results.

    ``tasks`` are those that bindings may run: what they call one, and ``module:attribute``, where it is.
    """

    data: str = "sluice-data"
    bucket: str = "sluice"
    digest: str = "blake3"
    threads: int = 2
    functions: list[str] = []
    tasks: dict[TaskName, TaskPlace] = {}
    http: Http = Http()
    door: Door = Door()
    objects: Objects = Objects()
    providers: list[Provider] = []
    credentials: list[Credential] = []
    access: Access = Access()
    sources: Sources = Sources()
    reconcile: Reconcile = Reconcile()
    models: list[Repository] = msgspec.field(default_factory=lambda: [Repository(name="models", bucket="models")])
    planner: Planner = Planner()
    log: EventLog = EventLog()
    catalog: CatalogStore = CatalogStore()
    delivery: Delivery = Delivery()
    runtime: Runtime = Runtime()
    serving: Serving = Serving()
    series: Series = Series()
    semantics: Semantics = Semantics()
    kubernetes: Kubernetes = Kubernetes()

    @property
    def folder(self) -> Path:
        """``data`` as an absolute path."""
        return Path(self.data).expanduser().resolve()

    @property
    def settings(self) -> Settings:
        """The part of the configuration that functions may know."""
        from functions.semantics.terms import iri  # who only serves models does not wait for it

        return Settings(
            bucket=self.bucket,
            digest=self.digest,
            workers=self.planner.sizes,
            cores=self.planner.cores or max(cores(), *(size.max_workers * size.vcpus for size in self.planner.sizes)),
            price_per_gb_s=self.planner.price_per_gb_s,
            price_per_request=self.planner.price_per_request,
            ontologies=self.semantics.ontologies,
            announce=[iri(name) for name in self.semantics.announce],
        )


def cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0))


def load(path: str | Path | None = None, environment: dict[str, str] | None = None) -> Config:
    """The configuration from ``path`` (else ``LITHOPS_CONFIG_FILE``, else ``./lithops_config.yaml`` if there) and environment.

    Raises ``ConfigError`` for what cannot be read, an unknown setting, or a value of the wrong type.
    """
    env = dict(os.environ) if environment is None else environment
    named = path or env.get("LITHOPS_CONFIG_FILE")
    file = Path(named or CONFIG_FILE)
    document: dict[str, Any] = {}
    if named or file.exists():
        try:
            document = (_yaml(file.read_text()) or {}).get("sluice") or {}
        except (OSError, ValueError, AttributeError) as error:
            raise ConfigError(f"cannot read the configuration {file}: {error}") from error
    _override(document, Config, "SLUICE_", env)
    try:
        return msgspec.convert(document, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{file}, section 'sluice': {error}") from error


def _yaml(text: str) -> Any:
    """What a YAML document holds. Raises ``ValueError``."""
    import yaml  # a process that is configured by nothing starts without

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _override(document: Any, kind: type[msgspec.Struct], prefix: str, env: dict[str, str]) -> None:
    for field in msgspec.structs.fields(kind) if isinstance(document, dict) else ():  # what is none, is refused with its name
        name = prefix + field.name.upper()
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            part = copy(document.get(field.name) or {})
            _override(part, field.type, name + "_", env)
            if part:
                document[field.name] = part
        elif name in env:
            document[field.name] = env[name] if field.type is str else _value(name, env[name])


def _value(name: str, text: str) -> Any:
    """The value of an environment variable that is no text. Raises ``ConfigError``."""
    try:
        return _yaml(text)
    except (ValueError, RecursionError) as error:
        why = getattr(error.__cause__, "problem", None) or str(error)
        raise ConfigError(f"the environment variable {name} cannot be read as YAML: {why}") from error
