"""What a provider type must give: how its configuration looks, and the compiled upstream it becomes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from gatewright import __version__
from gatewright.config.documents import ProviderConfig, UpstreamTimeouts, UpstreamTls
from gatewright.core.secret import Secret
from gatewright.core.traits import Traits
from gatewright.dialects import DIALECTS

C = TypeVar("C", bound=ProviderConfig)

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
_URL_CHARACTERS: Final = re.compile(r"[!-~]*\Z")
_PROXY: Final = re.compile(r"(?:http://)?([^/@\s]+:[0-9]{1,5})/?\Z")
CONTENT_TYPE_LINE: Final = b"content-type: application/json\r\n"
"""Stands in every head; requests that are no JSON put their own in its place."""
_OURS: Final = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "content-type", "accept-encoding")
)


_OF_THE_ACCOUNT: Final = frozenset(
    dialect.name for dialect in DIALECTS if not any(surface.names_model for surface in dialect.surfaces)
)
"""Dialects of what a provider's account holds, whoever put it there."""


class Origin(Struct, frozen=True):
    """Where connections go; two providers with equal origins share a pool."""

    tls: bool
    host: str
    port: int
    proxy: str | None = None
    """`host:port` of an HTTP CONNECT proxy."""
    verify: UpstreamTls = UpstreamTls()
    max_connections: int = 1024
    connect_s: float = 5.0


class Upstream(Struct, frozen=True, kw_only=True):
    """A compiled provider: all that an attempt needs, ready to be written to the wire."""

    name: str
    type: str
    origin: Origin
    pool_key: str = ""
    """Equal for upstreams whose connections are interchangeable; made from `origin`."""
    paths: Mapping[str, str]
    """Dialect name → request target (`/v1/chat/completions`); a dialect that is absent is not spoken there. The first
    of a family is what others of it are translated to. `{model}` stands for the model's name, percent-encoded;
    `{plain|streamed}` for the one or the other, by the kind of call."""
    head: bytes
    """Host, authorisation and fixed headers, each line with its CRLF; the same for every request."""
    timeouts: UpstreamTimeouts
    traits: Traits = Traits()
    """What is different from the dialect there, for every model."""
    model_traits: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """Pattern of model names → the traits that are different again for those; the first match counts."""

    def __post_init__(self) -> None:
        # A string hashes once; an Origin would be hashed field by field for every request.
        msgspec.structs.force_setattr(self, "pool_key", repr(self.origin))

    def __repr__(self) -> str:
        # `head` holds the credential in plain text.
        return f"Upstream(name={self.name!r}, type={self.type!r}, origin={self.origin!r})"


class ProviderType(Struct, Generic[C], frozen=True):
    """One row of the provider registry."""

    name: str
    config: type[C]
    build: Callable[[str, C], Upstream]
    """`build(name, config)`: raises `ValueError` with a message for the operator when the configuration cannot work."""
    summary: str
    """One sentence for the reference page."""
    environment: str | None = None
    """The environment variable whose presence makes this a provider when there is no configuration file."""
    default_models: tuple[str, ...] = ()
    """Patterns published for it then."""
    example_model: str = ""
    """A small model among them, for the first call that the start-up screen proposes."""


def build_upstream(
    name: str,
    config: ProviderConfig,
    *,
    url: str,
    paths: Mapping[str, str],
    credential: tuple[str, Secret] | None,
    traits: Traits | None = None,
    model_traits: tuple[tuple[str, Mapping[str, Any]], ...] = (),
) -> Upstream:
    """Compile a provider that is reached by plain HTTP requests under one base URL.

    `paths` are appended to the path of `url`; `credential` is a header with its value. Raises ValueError.
    """
    if not _URL_CHARACTERS.match(url):
        raise ValueError("`url` holds a space, control or non-ASCII character; percent-encode it")
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("`url` must hold no user, password, query or fragment; put the credential into `key`")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        # What holds an @ may be a credential that went astray, and is not shown.
        raise ValueError("`url` must look like https://host/v1" + ("" if "@" in url else f", not {url!r}"))
    tls = parts.scheme == "https"
    base = parts.path.rstrip("/")
    proxy = None
    if config.proxy is not None and config.proxy != "none":
        match = _PROXY.match(config.proxy)
        if match is None:
            raise ValueError("`proxy` must look like http://host:port, or be `none`")
        proxy = match.group(1)
    return Upstream(
        name=name,
        type=config.type,
        origin=Origin(
            tls=tls,
            host=parts.hostname,
            port=parts.port or (443 if tls else 80),
            proxy=proxy,
            verify=config.tls,
            max_connections=config.max_connections,
            connect_s=config.timeouts.connect_s,
        ),
        paths={
            dialect: base + path
            for dialect, path in paths.items()
            if config.share_account or dialect not in _OF_THE_ACCOUNT
        },
        head=_render_head(parts.netloc, config, credential),
        timeouts=config.timeouts,
        traits=traits or Traits(),
        model_traits=model_traits,
    )


def _render_head(host: str, config: ProviderConfig, credential: tuple[str, Secret] | None) -> bytes:
    headers: dict[str, Secret] = {} if credential is None else {credential[0]: credential[1]}
    headers |= {header.lower(): value for header, value in config.headers.items()}
    lines = [
        f"host: {host}",
        f"user-agent: gatewright/{__version__}",
        CONTENT_TYPE_LINE.decode().rstrip(),
        # Compressed answers would have to be inflated to be read; the network is not what an LLM call waits for.
        "accept-encoding: identity",
    ]
    for header, value in headers.items():
        if not _HEADER_NAME.match(header) or header in _OURS:
            raise ValueError(f"`headers` may not set {header!r}")
        text = value.reveal().strip()
        if not _HEADER_VALUE.match(text):
            raise ValueError(
                f"the value of the header {header!r} (or the `key`) holds a line break or control character"
            )
        lines.append(f"{header}: {text}")
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")


AnyProviderType = ProviderType[Any]
