"""The listener's TLS: one context for a worker's whole life, given new files as they come.

The listener hands the context to every connection it accepts, so it is never replaced. OpenSSL only ever adds to what a
context trusts, so who signs client certificates is settled by the first configuration, as is whether there is TLS.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Hashable

from gatewright.config.documents import Tls
from gatewright.config.problems import ConfigError, InvalidConfig


class ListenerTls:
    """The context, and the files it was made from."""

    def __init__(self) -> None:
        self._is_settled = False
        self._config: Tls | None = None
        self._context: ssl.SSLContext | None = None
        self._loaded: Hashable = None

    def build(self, config: Tls | None) -> ssl.SSLContext | None:
        """The context, always the same; None for plain HTTP. Raises InvalidConfig, and nothing is changed then."""
        if self._is_settled:
            self._check_change(config)
        if config is not None:
            context = self._context or _new_context(config)
            loaded = _fingerprint(config)
            _load_pair(context, config)
            self._config, self._context, self._loaded = config, context, loaded
        self._is_settled = True
        return self._context

    def refresh(self) -> None:
        """Load the pair again if its files changed. Raises InvalidConfig, once per change, and keeps the one before."""
        if self._config is None or self._context is None:
            return
        found = _fingerprint(self._config)
        if found != self._loaded:
            self._loaded = found
            _load_pair(self._context, self._config)

    def _check_change(self, config: Tls | None) -> None:
        before = self._config
        if (config is None) != (before is None):
            raise _problem("tls", "switching between plain HTTP and TLS needs a restart of the gateway")
        if config is not None and before is not None and config.client_ca != before.client_ca:
            raise _problem("tls.client_ca", "changing who signs client certificates needs a restart of the gateway")


def _new_context(config: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if config.client_ca is not None:
        try:
            context.load_verify_locations(config.client_ca)
        except (OSError, ValueError) as error:
            raise _problem("tls.client_ca", f"{config.client_ca} cannot be used: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load_pair(context: ssl.SSLContext, config: Tls) -> None:
    try:
        # On a trial first: OpenSSL takes the certificate, then sees that the key does not fit, and has neither key.
        for taker in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
            taker.load_cert_chain(config.certificate, config.key, password=_refuse_passphrase)
    except (OSError, ValueError) as error:
        what = f"the certificate {config.certificate} with the key {config.key}"
        raise _problem("tls", f"{what} cannot be used: {error}") from None


def _refuse_passphrase() -> str:
    # Otherwise OpenSSL asks for it on the terminal, and the worker waits.
    raise ValueError("the key is encrypted; give one without a passphrase")


def _fingerprint(config: Tls) -> Hashable:
    """Differs whenever one of the pair's files was written or replaced; None while one is missing."""
    try:
        found = [os.stat(path) for path in (config.certificate, config.key)]
    except OSError:
        return None
    return tuple((file.st_ino, file.st_mtime_ns) for file in found)


def _problem(path: str, message: str) -> InvalidConfig:
    return InvalidConfig([ConfigError(path, message)])
