"""Opening a connection to an origin: DNS, TCP, an egress proxy's CONNECT (RFC 9110 §9.3.6), TLS; failures named."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, TypeVar, cast

from gatewright.config.documents import UpstreamTls
from gatewright.core.errors import GatewayError, Kind
from gatewright.pipeline.provider import Origin

P = TypeVar("P")
"""An `asyncio.Protocol`, by its methods."""
_MAX_PROXY_HEAD: Final = 16_384


def build_tls(config: UpstreamTls) -> ssl.SSLContext:
    """The TLS context for an origin. Raises OSError when a certificate file cannot be read."""
    context = ssl.create_default_context(cafile=config.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.certificate is not None:
        context.load_cert_chain(config.certificate, config.key)
    return context


async def open_connection(
    loop: asyncio.AbstractEventLoop, origin: Origin, tls: ssl.SSLContext | None, factory: Callable[[], P]
) -> P:
    """Connect and hand the protocol over. Raises GatewayError, naming what failed, within `origin.connect_s`."""
    made = cast(Callable[[], asyncio.Protocol], factory)
    where = f"{origin.host}:{origin.port}"
    server_name = (origin.verify.server_name or origin.host) if tls is not None else None
    try:
        async with asyncio.timeout(origin.connect_s):
            if origin.proxy is None:
                _, protocol = await loop.create_connection(
                    made, origin.host, origin.port, ssl=tls, server_hostname=server_name
                )
            else:
                tunnel = await _open_tunnel(loop, origin.proxy, where)
                _, protocol = await loop.create_connection(made, sock=tunnel, ssl=tls, server_hostname=server_name)
            return cast(P, protocol)
    except TimeoutError as error:
        raise GatewayError(
            Kind.UPSTREAM_TIMEOUT, f"Connecting to {where} took longer than {origin.connect_s:g} s.", cause=error
        ) from None
    except socket.gaierror as error:
        raise _failed(f"The host name {origin.host} cannot be resolved (DNS: {error.strerror}).", error) from None
    except ssl.SSLCertVerificationError as error:
        raise _failed(
            f"The TLS certificate of {where} is not trusted: {error.verify_message}. Set the provider's `tls.ca`.",
            error,
        ) from None
    except ssl.SSLError as error:
        raise _failed(f"The TLS handshake with {where} failed: {error.reason or error}.", error) from None
    except ConnectionRefusedError as error:
        raise _failed(f"{where} refused the connection; nothing listens there.", error) from None
    except OSError as error:
        raise _failed(f"Connecting to {where} failed: {error.strerror or error}.", error) from None


def _failed(message: str, cause: BaseException) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_CONNECT_FAILED, message, cause=cause)


async def _open_tunnel(loop: asyncio.AbstractEventLoop, proxy: str, where: str) -> socket.socket:
    host, _, port = proxy.rpartition(":")
    family, kind, protocol, _, address = (await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM))[
        0
    ]
    tunnel = socket.socket(family, kind, protocol)
    tunnel.setblocking(False)
    try:
        await loop.sock_connect(tunnel, address)
        await loop.sock_sendall(tunnel, f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            piece = await loop.sock_recv(tunnel, 4096)
            head += piece
            if not piece or len(head) > _MAX_PROXY_HEAD:
                raise OSError(f"the proxy {proxy} closed the connection instead of opening a tunnel")
        status = head.split(b" ", 2)[1:2]
        if status != [b"200"]:
            line = head.split(b"\r\n", 1)[0].decode("latin-1")
            raise OSError(f"the proxy {proxy} refused the tunnel: {line}")
    except BaseException:
        tunnel.close()
        raise
    return tunnel
