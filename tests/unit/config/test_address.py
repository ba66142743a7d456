import pytest

from gatewright.config.address import is_loopback, is_wildcard, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("localhost:0", ("localhost", 0)),
        ("gateway-1.internal_net.svc:65535", ("gateway-1.internal_net.svc", 65535)),
        ("[::1]:8080", ("::1", 8080)),
        ("[::]:8080", ("::", 8080)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "write HOST:PORT"),
        ("8080", "write HOST:PORT"),
        (":8080", "write HOST:PORT"),
        ("localhost", "write HOST:PORT"),
        ("localhost:", "write HOST:PORT"),
        ("localhost:http", "the port must be a number"),
        ("localhost:65536", "the port must be a number"),
        ("localhost:-1", "the port must be a number"),
        ("localhost:٣", "the port must be a number"),
        ("localhost:99999999999999999999", "the port must be a number"),
        ("http://localhost:80", "an IPv6 address stands in brackets"),
        ("::1:8080", "an IPv6 address stands in brackets"),
        ("[localhost]:80", "no IPv6 address stands between the brackets"),
        ("[127.0.0.1]:80", "no IPv6 address stands between the brackets"),
        ("1.2.3:80", "the host is neither an address nor a name"),
        ("256.0.0.1:80", "the host is neither an address nor a name"),
        ("two words:80", "the host is neither an address nor a name"),
        ("-x:80", "the host is neither an address nor a name"),
        ("*:80", "the host is neither an address nor a name"),
    ],
)
def test_what_is_no_address(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:8080") as caught:
        parse_address(text)
    assert str(caught.value).startswith(reason)


def test_loopback_and_wildcard() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com"]))
    assert all(map(is_wildcard, ["0.0.0.0", "::"]))
    assert not any(map(is_wildcard, ["127.0.0.1", "localhost", "::1"]))
