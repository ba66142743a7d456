"""What a client certificate says about the caller, as facts for a template or an expression."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from cryptography import x509

from gatewright.core.errors import GatewayError, Kind


def read_certificate(der: bytes) -> tuple[dict[str, Any], float]:
    """The facts of an X.509 certificate, and the Unix seconds of its end.

    `subject` and `issuer` hold lists of values by their short names (`CN`, `OU`, `O`, `C`, `DC`, `UID`,
    `emailAddress` …, RFC 4514 §3), `san` the lists `dns`, `uri`, `email` and `ip`, `serial` and `fingerprint`
    (SHA-256) hexadecimal text. The chain was checked in the handshake. Raises GatewayError for what is none.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            names = x509.SubjectAlternativeName([])
        facts = {
            "subject": _name_facts(certificate.subject),
            "issuer": _name_facts(certificate.issuer),
            "san": {
                "dns": names.get_values_for_type(x509.DNSName),
                "uri": names.get_values_for_type(x509.UniformResourceIdentifier),
                "email": names.get_values_for_type(x509.RFC822Name),
                "ip": [str(address) for address in names.get_values_for_type(x509.IPAddress)],
            },
            "serial": f"{certificate.serial_number:x}",
            "fingerprint": sha256(der).hexdigest(),
        }
        return facts, certificate.not_valid_after_utc.timestamp()
    except _UNREADABLE as error:
        raise GatewayError(
            Kind.UNAUTHENTICATED, "The client certificate cannot be read, so it stands for nobody here.", cause=error
        ) from None


def _name_facts(name: x509.Name) -> dict[str, list[str]]:
    facts: dict[str, list[str]] = {}
    for attribute in name:
        short = _SHORT_NAMES.get(attribute.oid.dotted_string) or attribute.rfc4514_attribute_name
        value = attribute.value
        facts.setdefault(short, []).append(value if isinstance(value, str) else value.hex())
    return facts


_UNREADABLE: Final = (ValueError, x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)
_SHORT_NAMES: Final = {"1.2.840.113549.1.9.1": "emailAddress", "2.5.4.5": "serialNumber"}
