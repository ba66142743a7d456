"""The documents an operator writes, one frozen Struct each.

The reference page and the JSON Schema are generated from these types and the docstring below each field. A section
whose shape depends on a name (`providers.*` on `type`, `policies[].config` on `filter`) is kept as plain data here and
decoded by the provider or filter itself, so this room knows none of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gatewright.config.access import AccessRule
from gatewright.config.catalogue import Key, ModelFacts
from gatewright.config.counters import Counters
from gatewright.config.database import Database
from gatewright.config.identity import Identity
from gatewright.config.ledger import Ledger
from gatewright.core.secret import Secret

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Weight = Annotated[int, Meta(ge=0, le=1_000_000)]


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every section of the configuration is."""


class Tls(Document, frozen=True):
    """The certificate of the data-plane listener; both files are read again when they change."""

    certificate: str
    """Path of the PEM file with the certificate and its chain."""
    key: str
    """Path of the PEM file with the private key."""
    client_ca: str | None = None
    """Path of a PEM bundle; when set, clients must show a certificate signed by it (mutual TLS)."""


class Limits(Document, frozen=True):
    """What the gateway accepts from clients and upstreams. Beyond a limit the answer is an error, never a hang."""

    header_bytes: Annotated[int, Meta(ge=1024, le=1_048_576)] = 65_536
    """Request line and headers together; beyond it 431."""
    header_count: Annotated[int, Meta(ge=8, le=10_000)] = 128
    """Number of request headers; beyond it 431."""
    body_bytes: Positive = 33_554_432
    """A request body; beyond it 413 in the caller's dialect. 32 MiB is the largest any vendor's API takes."""
    response_bytes: Positive = 67_108_864
    """A complete (not streamed) upstream answer; beyond it 502. Streams are not limited in total."""
    connections: Positive = 20_000
    """Open client connections per worker; beyond it new ones are closed at once."""
    requests_in_flight: Positive = 10_000
    """Exchanges in progress per worker; beyond it 503 with Retry-After."""


class Timeouts(Document, frozen=True):
    """How long the gateway waits, in seconds."""

    header_s: Seconds = 15.0
    """From the first byte of a request to the end of its headers; beyond it 408."""
    body_idle_s: Seconds = 30.0
    """Between two pieces of a request body; beyond it 408."""
    keep_alive_s: Seconds = 75.0
    """An idle client connection is closed after this."""
    write_stall_s: Seconds = 60.0
    """A client that takes none of its answer for this long is disconnected."""
    drain_s: Seconds = 30.0
    """How long running exchanges may take to finish after SIGTERM or in a rolling restart."""


class UpstreamTimeouts(Document, frozen=True):
    """How long the gateway waits for a provider, in seconds."""

    connect_s: Seconds = 5.0
    """DNS, TCP, proxy and TLS together."""
    first_byte_s: Seconds = 600.0
    """From the end of the request to the head of the answer; long, as a complete answer may take minutes to write."""
    idle_s: Seconds = 120.0
    """Between two pieces of an answer that has begun."""


class Cors(Document, frozen=True):
    """Which browser pages may call the gateway directly."""

    origins: list[str]
    """Exact origins (`https://chat.example.com`), or `*` for any."""
    max_age_s: Annotated[int, Meta(ge=0)] = 600
    """How long a browser may remember the answer to a preflight."""


class UpstreamTls(Document, frozen=True):
    """How a provider's certificate is checked, and which one the gateway shows."""

    ca: str | None = None
    """Path of a PEM bundle to trust instead of the system's."""
    certificate: str | None = None
    """Path of a PEM client certificate, for mutual TLS."""
    key: str | None = None
    """Path of the client certificate's PEM key."""
    server_name: str | None = None
    """Name to expect in the certificate, when it differs from the URL's host."""


class ProviderConfig(Document, frozen=True):
    """What every provider type understands; a type adds its own fields by subclassing."""

    type: str
    """The provider type; `gatewright schema` and the provider reference list them."""
    url: str | None = None
    """Base URL, up to and including the version path (`https://api.openai.com/v1`); each type has its default."""
    key: Secret | None = None
    """The API key, as a reference: `${env:NAME}` or `${file:/path}`."""
    headers: dict[str, Secret] = {}
    """Headers added to every upstream request."""
    timeouts: UpstreamTimeouts = UpstreamTimeouts()
    """How long to wait for this provider."""
    tls: UpstreamTls = UpstreamTls()
    """Certificate checks and client certificate."""
    proxy: str | None = None
    """`http://host:port` of an egress proxy (CONNECT); `none` ignores HTTPS_PROXY from the environment."""
    share_account: bool = False
    """Whether every caller may list, read and delete the files and batches that the provider's account holds. They
    belong to the account, not to a caller; off, `/v1/files` and `/v1/batches` are not served for this provider."""
    max_connections: Positive = 1024
    """Open connections per worker to this provider; beyond it requests wait for one, up to `connect_s`."""


class Target(Document, frozen=True):
    """One place a model's requests may go."""

    provider: str
    """Name of a provider under `providers`."""
    model: str | None = None
    """The provider's own model name; without it the client's model name is passed through."""
    weight: Weight = 1
    """Share of the traffic among the targets of this model; 0 takes it out of rotation."""


class Model(Document, frozen=True):
    """A published name that clients call. The name may be a pattern with one trailing `*`."""

    targets: Annotated[list[Target], Meta(min_length=1)]
    """Where requests go, by weight."""
    fallback: list[Target] = []
    """Tried in order when the chosen target fails before its first byte, in a way another may mend."""
    fidelity: Literal["strict", "warn", "permissive"] = "warn"
    """What becomes of what a translation to the provider's API cannot carry over. `strict` refuses the request; `warn`
    refuses what would change the answer's meaning, and tells the rest in `x-gatewright-loss` and the access log;
    `permissive` leaves out whatever it must, and tells it."""
    attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    """How many tries one exchange may use in all, fallbacks included."""


KeyHash = Annotated[
    str, Meta(pattern="^sha256:[0-9a-f]{64}$", description="the hash of a key, `sha256:` and 64 small hex digits")
]


class Application(Document, frozen=True):
    """An application: the smallest consumer; keys belong to it."""

    keys: list[KeyHash] = []
    """SHA-256 of each key, as `sha256:` + 64 hex digits; `gatewright key` makes a key with its hash."""


class Team(Document, frozen=True):
    """A team: some applications."""

    apps: dict[str, Application] = {}
    """Applications by name."""


class Organisation(Document, frozen=True):
    """An organisation: some teams."""

    teams: dict[str, Team] = {}
    """Teams by name."""


class Selector(Document, frozen=True):
    """What a policy applies to; an empty list means everything."""

    models: list[str] = []
    """Model names as clients call them, or patterns with a trailing `*`."""
    consumers: list[str] = []
    """Consumer paths (`acme/search/indexer`), or patterns with a trailing `*`."""
    issuers: list[str] = []
    """Names of identity providers under `identity.issuers`: callers that one of them vouches for."""


class Policy(Document, frozen=True):
    """A document that attaches a configured filter to models, consumers or the whole gateway."""

    filter: str
    """Name of the filter; the filter reference lists them."""
    name: str | None = None
    """Shown in logs and errors; default is the filter's name."""
    on: Selector = Selector()
    """What it applies to; default is every exchange."""
    config: dict[str, Any] = {}
    """The filter's own settings."""


class Log(Document, frozen=True):
    """The access log: one line per exchange."""

    access: Literal["auto", "json", "text", "off"] = "auto"
    """`json` lines, `text` for people, `off`; `auto` is text on a terminal and JSON otherwise."""


class Gateway(Document, frozen=True):
    """The whole configuration."""

    listen: str = "127.0.0.1:8080"
    """HOST:PORT of the data plane."""
    admin: str = "127.0.0.1:8081"
    """HOST:PORT of the admin listener: health, metrics."""
    admin_hosts: list[str] = []
    """Names by which clients reach the admin listener besides its own address and the loopback's, as they stand in
    `Host`: of a proxy, or of a Kubernetes service. Others are refused, so that no web page can reach it by a name of
    its own (DNS rebinding)."""
    anonymous: bool | None = None
    """Whether calls without a key are served. Default: only if no consumers are configured and `listen` is loopback."""
    tls: Tls | None = None
    """Certificate of the data-plane listener; without it plain HTTP."""
    cors: Cors | None = None
    """Which browser pages may call the gateway; default none."""
    limits: Limits = Limits()
    """What is accepted."""
    timeouts: Timeouts = Timeouts()
    """How long clients are waited for."""
    log: Log = Log()
    """The access log."""
    providers: dict[str, dict[str, Any]] = {}
    """Configured vendors and runtimes by name; the fields depend on `type`."""
    models: dict[str, Model] = {}
    """Published models by name or pattern."""
    consumers: dict[str, Organisation] = {}
    """Who may call: organisations by name."""
    identity: Identity = Identity()
    """How callers are recognised besides by keys: JWTs, introspection, client certificates."""
    access: list[AccessRule] = []
    """Who may call which models and surfaces, and how. Without a rule everybody who is recognised may call everything;
    with the first one, what no rule allows is refused."""
    policies: list[Policy] = []
    """What applies to whom, in order."""
    counters: Counters = Counters()
    """Where limits and budgets are counted."""
    ledger: Ledger = Ledger()
    """How what every exchange used and cost is written down."""
    database: Database = Database()
    """Where the ledger and what is administered are kept."""
    catalogue: dict[Key, ModelFacts] = {}
    """Your own rows of the model catalogue by `<provider type>/<model name>`, as in `openai/gpt-4.1`."""
