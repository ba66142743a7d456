"""The model's name is replaced where it stands, and every other byte stays."""

import pytest

from gatewright.translate.renaming import rename

PUBLISHED = b'"assistant"'


@pytest.mark.parametrize(
    ("text", "paths", "expected"),
    [
        (b'{"model":"m"}', (("model",),), b'{"model":"assistant"}'),
        (b'{ "a":0.70, "model" : "m" ,"z":1e400}', (("model",),), b'{ "a":0.70, "model" : "assistant" ,"z":1e400}'),
        (b'{"message":{"id":"1","model":"m"},"x":[ ]}', (("model",), ("message", "model")),
         b'{"message":{"id":"1","model":"assistant"},"x":[ ]}'),
        (b'{"modelVersion":"m"}', (("modelVersion",),), b'{"modelVersion":"assistant"}'),
        (b'{"x":{"model":"m"},"model":"m"}', (("model",),), b'{"x":{"model":"m"},"model":"assistant"}'),
        (b'{"t":"\\"model\\":\\"m\\"","model":"m"}', (("model",),), b'{"t":"\\"model\\":\\"m\\"","model":"assistant"}'),
        (b'{"model":"m","model":"m"}', (("model",),), b'{"model":"m","model":"assistant"}'),
    ],
)  # fmt: skip
def test_the_member_is_replaced_in_place(text: bytes, paths: tuple[tuple[str, ...], ...], expected: bytes) -> None:
    assert rename(text, paths, PUBLISHED) == expected


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"null", b"not json", b'{"model":null}', b'{"model":7}', b'{"message":[]}', b'{"model"']
)
def test_what_holds_no_name_stays(text: bytes) -> None:
    assert rename(text, (("model",), ("message", "model")), PUBLISHED) == text
