from gatewright.core.consumer import ANONYMOUS
from gatewright.core.exchange import Exchange


def make_exchange() -> Exchange:
    return Exchange("x-1", "snapshot", {b"host": b"gw"}, b"{}", 7.0)


def test_an_exchange_begins_with_its_request() -> None:
    x = make_exchange()
    assert (x.id, x.snapshot, x.headers, x.body, x.bytes_in, x.started_s) == (
        "x-1",
        "snapshot",
        {b"host": b"gw"},
        b"{}",
        2,
        7.0,
    )
    assert x.consumer is ANONYMOUS
    assert (x.attempts, x.status, x.usage, x.error, x.first_byte_s, x.finished_s) == (0, 0, None, None, 0.0, 0.0)


def test_exchanges_share_nothing_that_changes() -> None:
    one, other = make_exchange(), make_exchange()
    one.notes["filter"] = 1
    one.status = 200
    one.fields = {**one.fields}
    assert (other.notes, other.status, other.fields) == ({}, 0, {})
