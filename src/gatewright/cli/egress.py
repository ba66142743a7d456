"""The egress proxy of the environment: `HTTPS_PROXY` and `NO_PROXY`, as curl and the SDKs read them.

It is written into the document when that is read, since nothing but this room looks at the environment. Only HTTPS
providers, of models and of identities, are meant: what is reached by plain HTTP stands, as a rule, on this side of the
proxy. A provider's own `proxy` goes first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from gatewright.config.address import is_loopback
from gatewright.config.check import convert
from gatewright.config.documents import Gateway
from gatewright.config.identity import Identity, Introspection, Issuer
from gatewright.config.problems import ConfigError, InvalidConfig
from gatewright.providers import PROVIDERS

_FORM: Final = re.compile(r"(http://)?[^/@\s]+:[0-9]{1,5}/?")
_TYPES: Final = {kind.name: kind for kind in PROVIDERS}


def apply_egress_proxy(document: Gateway, environment: Mapping[str, str]) -> Gateway:
    """The document with the environment's proxy set for every HTTPS provider and issuer that names none.

    The document must have passed the trial build. Raises InvalidConfig when the variable holds no usable address.
    """
    proxy = environment.get("https_proxy") or environment.get("HTTPS_PROXY")
    if not proxy:
        return document
    bypass = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    providers = {
        name: raw | {"proxy": proxy} if _wants_proxy(name, raw, bypass) else raw
        for name, raw in document.providers.items()
    }
    identity = _with_proxy(document.identity, proxy, bypass)
    if providers == document.providers and identity == document.identity:
        return document
    if not _FORM.fullmatch(proxy):
        message = (
            "the environment variable HTTPS_PROXY must look like http://host:port, without a user; "
            "mend it, or set the `proxy` of each provider and issuer (`none` for a direct connection)"
        )
        raise InvalidConfig([ConfigError("providers", message)])
    return msgspec.structs.replace(document, providers=providers, identity=identity)


def is_bypassed(host: str, no_proxy: str) -> bool:
    """Whether `NO_PROXY` excepts a host: `*`, its name, or a domain above it with or without a leading dot."""
    host = host.lower()
    for entry in no_proxy.lower().replace(",", " ").split():
        domain = entry.partition(":")[0].lstrip("*").lstrip(".") if entry != "*" else entry
        if domain == "*" or host == domain or (domain and host.endswith("." + domain)):
            return True
    return False


def _wants_proxy(name: str, raw: Mapping[str, Any], no_proxy: str) -> bool:
    if raw.get("proxy") is not None:
        return False
    kind = _TYPES[raw["type"]]
    config, _ = convert(raw, kind.config)
    if config is None:
        return False
    origin = kind.build(name, config).origin
    return _is_outside(origin.tls, origin.host, no_proxy)


def _with_proxy(identity: Identity, proxy: str, no_proxy: str) -> Identity:
    """The proxy for every identity provider whose keys or answers come from outside."""

    def through(one: Issuer | Introspection, url: str) -> Any:
        parts = urlsplit(url)
        wants = one.proxy is None and _is_outside(parts.scheme == "https", parts.hostname or "", no_proxy)
        return msgspec.structs.replace(one, proxy=proxy) if wants else one

    asked = identity.introspection
    return msgspec.structs.replace(
        identity,
        issuers={name: through(one, one.jwks_url or one.issuer) for name, one in identity.issuers.items()},
        introspection=None if asked is None else through(asked, asked.url),
    )


def _is_outside(tls: bool, host: str, no_proxy: str) -> bool:
    return tls and not is_loopback(host) and not is_bypassed(host, no_proxy)
