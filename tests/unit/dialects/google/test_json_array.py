import pytest

from gatewright.dialects.google.json_array import ArraySplitter

ELEMENTS = [
    b'{"a":1}',
    b'{"a":{"b":{}}, "c":[{}]}',
    b'{"text":"}{][,\\" \\\\"}',
    b'{"a\\"{":"\\\\\\""}',
    '{"é":"{\u2028"}'.encode(),
    b"{}",
]
ARRAY = b"[" + b"\r\n,\r\n".join(ELEMENTS) + b"\n]\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_elements_come_whole_however_the_bytes_are_cut(size: int) -> None:
    splitter = ArraySplitter(1000)
    found = []
    for start in range(0, len(ARRAY), size):
        found += splitter.feed(ARRAY[start : start + size])
    assert found == ELEMENTS
    assert splitter.is_between


def test_an_element_that_is_not_whole_is_held() -> None:
    splitter = ArraySplitter(1000)
    assert splitter.feed(b'[{"a":1},{"b":"}') == [b'{"a":1}']
    assert not splitter.is_between
    assert splitter.feed(b'"}') == [b'{"b":"}"}']


def test_a_closing_brace_too_many_is_passed_over() -> None:
    assert ArraySplitter(1000).feed(b"[}]{}") == [b"{}"]


def test_an_element_may_not_exceed_the_limit() -> None:
    splitter = ArraySplitter(10)
    assert splitter.feed(b"[{") == []
    with pytest.raises(ValueError, match="exceeds 10 bytes"):
        splitter.feed(b" " * 10)
