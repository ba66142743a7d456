import msgspec
import pytest

from gatewright.core.fields import Fields
from gatewright.dialects.openai.stream import ask_nothing, ask_usage, has_finish, is_error_event, is_usage_only


def members(text: str) -> Fields:
    return msgspec.json.decode(text, type=dict[str, msgspec.Raw])


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ('{"a":1}', '{"include_usage":true}'),
        ('{"stream_options":null}', '{"include_usage":true}'),
        ('{"stream_options":{}}', '{"include_usage":true}'),
        ('{"stream_options":{"include_usage":false}}', '{"include_usage":true}'),
        ('{"stream_options":{"include_usage":null}}', '{"include_usage":true}'),
        ('{"stream_options":{"x":0.70,"include_usage": false,"y":1e400}}', '{"x":0.70,"include_usage":true,"y":1e400}'),
    ],
)
def test_usage_is_asked_for_and_the_rest_kept(sent: str, asked: str) -> None:
    fields = members(sent)
    assert ask_usage(fields)
    assert bytes(fields["stream_options"]).decode() == asked


@pytest.mark.parametrize(
    "options",
    [
        '{"include_usage":true}',
        '{ "include_usage" : true , "x":1 }',
        "7",
        '"x"',
        "[]",
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
    ids=["asked", "asked, spaced", "number", "string", "array", "too deep"],
)
def test_who_asks_already_or_cannot_be_understood_is_left_alone(options: str) -> None:
    fields: Fields = {"stream_options": msgspec.Raw(options.encode())}
    assert not ask_usage(fields)
    assert bytes(fields["stream_options"]) == options.encode()


def test_apis_that_never_stream_ask_nothing() -> None:
    fields = members('{"a":1}')
    assert not ask_nothing(fields)
    assert fields.keys() == {"a"}


@pytest.mark.parametrize(
    ("chunk", "is_error"),
    [
        ('{"error":{"message":"m"}}', True),
        ('{"error":"m","choices":[]}', True),
        ('{"error":null,"choices":[]}', False),
        ('{"choices":[]}', False),
    ],
)
def test_failures_are_told_from_chunks(chunk: str, is_error: bool) -> None:
    assert is_error_event(members(chunk)) is is_error


@pytest.mark.parametrize(
    ("chunk", "only"),
    [
        ('{"choices":[],"usage":{}}', True),
        ('{"choices":[ \\n ],"usage":{}}'.replace("\\n", "\n"), True),
        ('{"choices":[{"delta":{}}],"usage":{}}', False),
        ('{"choices":null,"usage":{}}', False),
        ('{"usage":{}}', False),
    ],
)
def test_a_chunk_without_choices_is_there_for_its_usage(chunk: str, only: bool) -> None:
    assert is_usage_only(members(chunk)) is only


@pytest.mark.parametrize(
    ("event", "finished"),
    [
        (b'data: {"choices":[{"finish_reason":"stop"}]}\n\n', True),
        (b'data: {"choices":[{"finish_reason" :\t"length"}]}\n\n', True),
        (b'data: {"choices":[{"finish_reason":null},{"finish_reason":"stop"}]}\n\n', True),
        (b'data: {"choices":[{"finish_reason":null}]}\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"\\"finish_reason\\":\\"stop\\""}}]}\n\n', False),
        (b": finish_reason\n\n", False),
    ],
)
def test_a_finish_reason_is_seen(event: bytes, finished: bool) -> None:
    assert has_finish(event) is finished
