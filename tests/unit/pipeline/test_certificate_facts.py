"""Client certificates, as facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gatewright.core.errors import GatewayError, Kind
from gatewright.pipeline.certificate_facts import read_certificate

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2027, 1, 1, tzinfo=UTC)


def certificate(*, names: list[x509.GeneralName] | None) -> bytes:
    """A certificate with a full subject; without alternative names when there are none."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme Inc."),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "search"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "europe"),
            x509.NameAttribute(NameOID.COMMON_NAME, "indexer"),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "indexer@acme.example"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, "77"),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme CA")]))
        .public_key(key.public_key())
        .serial_number(0xABC)
        .not_valid_before(BEGIN)
        .not_valid_after(END)
    )
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_all_facts() -> None:
    der = certificate(
        names=[
            x509.DNSName("indexer.acme.example"),
            x509.UniformResourceIdentifier("spiffe://acme.example/search/indexer"),
            x509.RFC822Name("a@acme.example"),
            x509.IPAddress(ip_address("10.0.0.7")),
        ]
    )
    facts, end = read_certificate(der)
    assert facts == {
        "subject": {
            "O": ["Acme Inc."],
            "OU": ["search", "europe"],
            "CN": ["indexer"],
            "emailAddress": ["indexer@acme.example"],
            "serialNumber": ["77"],
        },
        "issuer": {"CN": ["Acme CA"]},
        "san": {
            "dns": ["indexer.acme.example"],
            "uri": ["spiffe://acme.example/search/indexer"],
            "email": ["a@acme.example"],
            "ip": ["10.0.0.7"],
        },
        "serial": "abc",
        "fingerprint": sha256(der).hexdigest(),
    }
    assert datetime.fromtimestamp(end, UTC) - END < timedelta(seconds=1)


def test_without_alternative_names() -> None:
    facts, _ = read_certificate(certificate(names=None))
    assert facts["san"] == {"dns": [], "uri": [], "email": [], "ip": []}


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"x",
        certificate(names=None)[:-20],
        certificate(names=None) + b"x",
        certificate(names=None).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05", 1),
    ],
    ids=["nothing", "rubbish", "cut off", "more behind it", "a version that there is not"],
)
def test_what_is_no_certificate(der: bytes) -> None:
    with pytest.raises(GatewayError) as refusal:
        read_certificate(der)
    assert refusal.value.kind is Kind.UNAUTHENTICATED
