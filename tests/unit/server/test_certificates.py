"""The listener's TLS across reloads and renewals: what is taken, and that what is refused changes nothing."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gatewright.config.documents import Tls
from gatewright.config.problems import InvalidConfig
from gatewright.server.certificates import ListenerTls


class Authority:
    """Issues the files that a configuration names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self._issued = 0

    def issue(self, name: str = "pair") -> Tls:
        """A pair for localhost, newer than any before."""
        made = self._ca.issue_cert("localhost")
        tls = Tls(certificate=str(self._folder / f"{name}.pem"), key=str(self._folder / f"{name}.key"))
        made.cert_chain_pems[0].write_to_path(tls.certificate)
        made.private_key_pem.write_to_path(tls.key)
        self._issued += 1
        for path in (tls.certificate, tls.key):
            os.utime(path, (self._issued, self._issued))
        return tls

    def clients(self, name: str) -> str:
        """The file of an authority for clients."""
        path = self._folder / f"{name}.pem"
        trustme.CA().cert_pem.write_to_path(path)
        return str(path)

    def shown_by(self, server: ssl.SSLContext) -> str:
        """The serial number that a client sees."""
        trusting = ssl.create_default_context()
        self._ca.configure_trust(trusting)
        (client_in, client_out), (server_in, server_out) = [(ssl.MemoryBIO(), ssl.MemoryBIO()) for _ in range(2)]
        client = trusting.wrap_bio(client_in, client_out, server_hostname="localhost")
        serving = server.wrap_bio(server_in, server_out, server_side=True)
        for _ in range(4):
            for side in (client, serving):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                server_in.write(client_out.read())
                client_in.write(server_out.read())
        certificate: Any = client.getpeercert()
        return str(certificate["serialNumber"])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def built(tls: ListenerTls, config: Tls | None) -> ssl.SSLContext:
    context = tls.build(config)
    assert context is not None
    return context


Settings = Callable[[Authority], Tls | None]


def plain(authority: Authority) -> Tls | None:
    return None


def open_to_all(authority: Authority) -> Tls | None:
    return authority.issue()


def mutual(name: str) -> Settings:
    def settings(authority: Authority) -> Tls | None:
        pair = authority.issue()
        return Tls(certificate=pair.certificate, key=pair.key, client_ca=authority.clients(name))

    return settings


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        (mutual("clients"), mutual("others"), "tls.client_ca"),
        (mutual("clients"), open_to_all, "tls.client_ca"),
        (open_to_all, mutual("clients"), "tls.client_ca"),
        (plain, open_to_all, "tls"),
        (open_to_all, plain, "tls"),
    ],
)
def test_a_reload_that_changes_what_the_listener_is_is_refused(
    before: Settings, after: Settings, path: str, authority: Authority
) -> None:
    tls, at_first = ListenerTls(), before(authority)
    context = tls.build(at_first)
    trusted = context and context.get_ca_certs()
    with pytest.raises(InvalidConfig, match="restart of the gateway") as refused:
        tls.build(after(authority))
    assert [error.path for error in refused.value.errors] == [path]
    assert tls.build(at_first) is context, "and it goes on with what it had"
    assert (context and context.get_ca_certs()) == trusted


def test_a_reload_never_adds_to_the_authorities_that_are_trusted(authority: Authority) -> None:
    tls = ListenerTls()
    trusted = built(tls, mutual("clients")(authority)).get_ca_certs()
    assert len(trusted) == 1
    assert built(tls, mutual("clients")(authority)).get_ca_certs() == trusted, "another authority in the same file"


def test_clients_need_a_certificate_only_when_an_authority_for_them_is_named(authority: Authority) -> None:
    assert built(ListenerTls(), authority.issue()).verify_mode == ssl.CERT_NONE
    assert built(ListenerTls(), mutual("clients")(authority)).verify_mode == ssl.CERT_REQUIRED


def test_another_certificate_comes_into_the_context_that_is_in_use(authority: Authority) -> None:
    tls = ListenerTls()
    context = built(tls, authority.issue("one"))
    shown = authority.shown_by(context)
    assert tls.build(authority.issue("two")) is context
    assert authority.shown_by(context) != shown


def test_a_renewed_pair_is_loaded_once_its_files_changed(authority: Authority) -> None:
    tls = ListenerTls()
    tls.refresh()
    context = built(tls, authority.issue())
    shown = authority.shown_by(context)
    tls.refresh()
    assert authority.shown_by(context) == shown
    authority.issue()
    tls.refresh()
    assert authority.shown_by(context) != shown


def test_a_pair_with_an_older_date_is_a_renewed_one_too(authority: Authority) -> None:
    tls = ListenerTls()
    older = authority.issue("older")
    pair = authority.issue()
    context = built(tls, pair)
    shown = authority.shown_by(context)
    Path(older.key).rename(pair.key)
    Path(older.certificate).rename(pair.certificate)
    tls.refresh()
    assert authority.shown_by(context) != shown


def unfitting_key(authority: Authority, pair: Tls) -> Tls:
    return Tls(certificate=authority.issue("other").certificate, key=pair.key)


def absent_key(authority: Authority, pair: Tls) -> Tls:
    return Tls(certificate=authority.issue("other").certificate, key=pair.key + ".gone")


def absent_certificate(authority: Authority, pair: Tls) -> Tls:
    return Tls(certificate=pair.certificate + ".gone", key=pair.key)


def encrypted_key(authority: Authority, pair: Tls) -> Tls:
    other = authority.issue("other")
    key = cast(Any, load_pem_private_key(Path(other.key).read_bytes(), None))
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    Path(other.key).write_bytes(sealed)
    return other


@pytest.mark.parametrize("broken", [unfitting_key, absent_key, absent_certificate, encrypted_key])
def test_a_pair_that_cannot_be_used_is_named_and_leaves_the_one_before_in_use(
    broken: Callable[[Authority, Tls], Tls], authority: Authority
) -> None:
    tls, pair = ListenerTls(), authority.issue()
    context = built(tls, pair)
    shown = authority.shown_by(context)
    given = broken(authority, pair)
    with pytest.raises(InvalidConfig) as refused:
        tls.build(given)
    (error,) = refused.value.errors
    assert error.path == "tls"
    assert given.certificate in error.message
    assert given.key in error.message
    assert authority.shown_by(context) == shown


def test_a_renewal_that_cannot_be_used_is_told_once_and_tried_again_when_it_changed(authority: Authority) -> None:
    tls, pair = ListenerTls(), authority.issue()
    context = built(tls, pair)
    shown = authority.shown_by(context)
    key = Path(pair.key).read_bytes()
    authority.issue()
    Path(pair.key).write_bytes(key)
    with pytest.raises(InvalidConfig):
        tls.refresh()
    tls.refresh()
    assert authority.shown_by(context) == shown
    authority.issue()
    tls.refresh()
    assert authority.shown_by(context) != shown


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_for_clients_that_cannot_be_used_is_named(
    content: str | None, authority: Authority, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    pair = authority.issue()
    with pytest.raises(InvalidConfig, match=r"bundle\.pem cannot be used") as refused:
        ListenerTls().build(Tls(certificate=pair.certificate, key=pair.key, client_ca=str(bundle)))
    assert refused.value.errors[0].path == "tls.client_ca"
