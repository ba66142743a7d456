"""Forms: the field that is looked for, its place, and everything that two readers might understand differently."""

from __future__ import annotations

import time
from email.parser import BytesParser
from email.policy import HTTP

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.wire.multipart import MalformedForm, add_field, parse_boundary, read_fields, replace_field

B = b"XbX"


def part(content: bytes, *headers: bytes) -> bytes:
    return b"--XbX\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + content + b"\r\n"


def named(name: bytes, content: bytes, more: bytes = b"", *headers: bytes) -> bytes:
    return part(content, b'Content-Disposition: form-data; name="%b"%b' % (name, more), *headers)


FILE = named(b"file", b"\x00\xff--Xb\r\n-- \n\r", b'; filename="a.wav"', b"Content-Type: audio/wav")
MODEL = named(b"model", b"whisper")
END = b"--XbX--\r\n"


def found(body: bytes) -> str | None:
    fields = read_fields(body, B, "model")
    assert all(body[field.start : field.end].decode() == field.value for field in fields.values())
    field = fields.get("model")
    return None if field is None else field.value


# -- the boundary -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b"Multipart/Form-Data;BOUNDARY=abc ", b"abc"),
        (b'multipart/form-data; boundary="a b:c"', b"a b:c"),
        (
            b"multipart/form-data; charset=utf-8; boundary=----WebKitFormBoundary7MA4YWxk",
            b"----WebKitFormBoundary7MA4YWxk",
        ),
        (b'multipart/form-data; x="; boundary=not-this"; boundary=abc', b"abc"),
        (b"multipart/form-data; boundary=" + b"a" * 70, b"a" * 70),
    ],
)
def test_the_boundary_is_read(content_type: bytes, boundary: bytes) -> None:
    assert parse_boundary(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"application/json",
        b"multipart/form-data",
        b"multipart/form-data; boundary",
        b"multipart/form-data; boundary=",
        b'multipart/form-data; boundary=""',
        b'multipart/form-data; boundary="abc',
        b'multipart/form-data; boundary="a\\bc"',
        b'multipart/form-data; boundary="abc "',
        b"multipart/form-data; boundary=a b",
        b"multipart/form-data; boundary=a; boundary=b",
        b"multipart/form-data; boundary=a; Boundary=a",
        b"multipart/form-data; boundary*=utf-8''a; boundary=b",
        b"multipart/form-data; boundary*0=a; boundary=b",
        b"multipart/form-data; boundary=a, multipart/form-data; boundary=b",
        b"multipart/form-data boundary=a",
        b"multipart/form-data; charset=utf-16; boundary=a",
        b"multipart/form-data; charset=utf-8; charset=utf-16; boundary=a",
        b"multipart/mixed; boundary=a",
        b"multipart/form-data; boundary=" + b"a" * 71,
        b'multipart/form-data; boundary="a\xffb"',
    ],
)
def test_a_doubtful_boundary_is_refused(content_type: bytes) -> None:
    with pytest.raises(MalformedForm):
        parse_boundary(content_type)


# -- the field --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "value"),
    [
        ((FILE, MODEL), "whisper"),
        ((MODEL, FILE), "whisper"),
        ((FILE,), None),
        ((named(b"model", b""),), ""),
        ((named(b"model", "gpt-é".encode()),), "gpt-é"),
        ((named(b"svg[model]", b"other"), MODEL), "whisper"),
        ((part(b"m", b"content-disposition:form-data;name=model"),), "m"),
        ((part(b"m", b'CONTENT-DISPOSITION:\tForm-Data; Name="model" '),), "m"),
        (
            (
                part(
                    b"m", b'Content-Type: text/plain; charset="UTF-8"', b'Content-Disposition: form-data; name="model"'
                ),
            ),
            "m",
        ),
        ((named(b"model", b"m", b"", b"Content-Transfer-Encoding: 8bit"),), "m"),
        ((named(b"file", b'--\r\nname="model"', b'; filename="name=\\"model\\".png"'), MODEL), "whisper"),
        ((named(b"file", b"", b"; filename=a; filename*=utf-8''%e2%82%ac"), MODEL), "whisper"),
        ((named(b"file", b"x" * 100_000, b'; filename="a"'), MODEL), "whisper"),
    ],
)
def test_a_field_is_found_wherever_it_stands(parts: tuple[bytes, ...], value: str | None) -> None:
    body = b"".join(parts)
    assert found(body + END) == value
    assert found(body + b"--XbX--") == value


def test_the_other_text_fields_are_read_too() -> None:
    parts = (FILE, named(b"prompt", "zwei\r\nZeilen é".encode()), named(b"include[]", b"a"), named(b"include[]", b"b"))
    odd = (named(b"raw", b"\xff"), named(b"n", b"1", b"", b"Content-Type: application/json"))
    fields = read_fields(b"".join((*parts, *odd, MODEL, END)), B, "model")
    assert {name: field.value for name, field in fields.items()} == {
        "prompt": "zwei\r\nZeilen é",
        "n": "1",
        "model": "whisper",
    }


def test_only_the_value_changes() -> None:
    body = FILE + MODEL + named(b"prompt", b"whisper") + END
    field = read_fields(body, B, "model")["model"]
    assert replace_field(body, field, b"up") == FILE + named(b"model", b"up") + named(b"prompt", b"whisper") + END


def test_a_field_that_is_not_there_is_added_before_all_others() -> None:
    body = FILE + END
    longer = add_field(body, B, "model", b"up")
    assert longer.endswith(body)
    assert found(longer) == "up"


def disposition(value: bytes) -> bytes:
    return part(b"m", b"Content-Disposition: " + value) + END


HOSTILE = {
    "empty": b"",
    "not a form": b'{"model":"m"}',
    "preamble": b"hello\r\n" + MODEL + END,
    "leading CRLF": b"\r\n" + MODEL + END,
    "no end": MODEL,
    "cut in a header": b"--XbX\r\nContent-Disp",
    "cut in the end": MODEL + b"--XbX-",
    "only an end": END,
    "epilogue": MODEL + END + b"x",
    "second form behind the end": MODEL + END + MODEL + END,
    "bare LF lines": (MODEL + END).replace(b"\r\n", b"\n"),
    "boundary behind a bare LF": named(b"file", b"x\n--XbX\nContent-Disposition: form-data; name=model\n\nb\n") + END,
    "boundary behind a bare CR": named(b"file", b"x\r--XbX\r\nContent-Disposition: form-data; name=model") + END,
    "boundary inside a line": named(b"file", b"x --XbX\r\n") + END,
    "padded boundary": FILE + b"--XbX \r\n" + MODEL[7:] + END,
    "boundary with a tail": FILE + b"--XbXX\r\n" + MODEL[7:] + END,
    "end in the middle": FILE + b"--XbX--\r\n" + MODEL + END,
    "twice": MODEL + FILE + MODEL + END,
    "twice, once in brackets": MODEL + named(b"model[]", b"other") + END,
    "another field twice": named(b"prompt", b"a") + MODEL + named(b"prompt", b"b") + END,
    "character set": named(b"_charset_", b"utf-16") + MODEL + END,
    "in brackets": named(b"model[0]", b"other") + END,
    "as a file": named(b"model", b"m", b'; filename="x"') + END,
    "as a file with an extended name": named(b"model", b"m", b"; filename*=utf-8''x") + END,
    "no headers": b"--XbX\r\n\r\nm\r\n" + END,
    "no blank line": b'--XbX\r\nContent-Disposition: form-data; name="model"\r\n' + END,
    "no disposition": part(b"m", b"Content-Type: text/plain") + END,
    "two dispositions": part(b"m", *[b"Content-Disposition: form-data; name=%b" % n for n in (b"a", b"model")]) + END,
    "folded header": part(b"m", b"Content-Disposition: form-data;", b' name="model"') + END,
    "space before the colon": part(b"m", b'Content-Disposition : form-data; name="model"') + END,
    "bare LF in a header": part(b"m", b'Content-Disposition: form-data; name="a"\nX: form-data; name="model"') + END,
    "bare CR in a header": part(b"m", b'Content-Disposition: form-data; name="a"\rX: y') + END,
    "NUL in a header": part(b"m", b'Content-Disposition: form-data; name="mo\0del"') + END,
    "attachment": disposition(b'attachment; name="model"'),
    "no name": disposition(b"form-data"),
    "empty name": disposition(b'form-data; name=""'),
    "two names": disposition(b'form-data; name="a"; name="model"'),
    "two spellings of a name": disposition(b"form-data; name=\"a\"; name*=utf-8''model"),
    "extended name": disposition(b"form-data; name*=utf-8''model"),
    "continued name": disposition(b'form-data; name*0="mo"; name*1="del"'),
    "escaped name": disposition(b'form-data; name="mo\\del"'),
    "percent name": disposition(b'form-data; name="%6dodel"'),
    "single quotes": disposition(b"form-data; name='model'"),
    "space in a name": disposition(b'form-data; name=" model"'),
    "not ASCII": disposition('form-data; name="mödel"'.encode()),
    "unclosed quote": disposition(b'form-data; name="model'),
    "space around =": disposition(b'form-data; name = "model"'),
    "text behind the name": disposition(b'form-data; name="model" x'),
    "base64": named(b"model", b"bQ==", b"", b"Content-Transfer-Encoding: base64") + END,
    "other charset": named(b"model", b"m", b"", b"Content-Type: text/plain; charset=utf-16") + END,
    "no text": named(b"model", b"m", b"", b"Content-Type: application/json") + END,
    "parts in a part": named(b"files", b"x", b"", b"Content-Type: Multipart/Mixed; boundary=y") + MODEL + END,
    "not UTF-8": named(b"model", b"\xff") + END,
    "line break in the value": named(b"model", b"a\r\nb") + END,
    "control character in the value": named(b"model", b"a\0b") + END,
    "long value": named(b"model", b"m" * 1_025) + END,
    "long headers": part(b"m", b"X: " + b"y" * 9_000, b'Content-Disposition: form-data; name="model"') + END,
    "many parts": named(b"a", b"") * 1_001 + END,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_two_readers_might_understand_differently_is_refused(case: str) -> None:
    with pytest.raises(MalformedForm) as refused:
        read_fields(HOSTILE[case], B, "model")
    assert 10 < len(str(refused.value)) < 120


@settings(max_examples=300, derandomize=True)
@given(drawn=st.data())
def test_whatever_is_accepted_another_reader_reads_alike(drawn: st.DataObject) -> None:
    lines = [
        b"--XbX",
        b"--XbX--",
        b"--XbX ",
        b"",
        b"x",
        b'Content-Disposition: form-data; name="model"',
        b"X: y",
        b"\n",
    ]
    lines += [b'Content-Disposition: form-data; name="file"; filename="model"', b"m", b"--XbX\n", b"\r", b" name=model"]
    body = (
        b"--XbX\r\n"
        + b"\r\n".join(drawn.draw(st.lists(st.sampled_from(lines), max_size=14)))
        + drawn.draw(st.sampled_from([b"\r\n--XbX--\r\n", b"\r\n--XbX--", b""]))
    )
    try:
        value = found(body)
    except MalformedForm:
        return
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: multipart/form-data; boundary=XbX\r\n\r\n" + body)
    parts = [p for p in message.iter_parts() if p.get_param("name", header="content-disposition") == "model"]
    texts = [p.get_payload(decode=True) for p in parts]
    assert texts == ([] if value is None else [value.encode()])


@settings(max_examples=300, derandomize=True)
@given(body=st.binary(max_size=200), content_type=st.binary(max_size=60))
def test_no_bytes_are_too_odd(body: bytes, content_type: bytes) -> None:
    for sent in (body, b"--XbX\r\n" + body, FILE + body, MODEL + body + END):
        try:
            found(sent)
        except MalformedForm:
            continue
    with pytest.raises(MalformedForm):
        parse_boundary(content_type)


@pytest.mark.parametrize(
    "body",
    [
        named(b"file", b"\r\n--Xb" * 2_000_000, b'; filename="a"') + MODEL + END,
        part(b"m", b"X: " + b" " * 8_000, b'Content-Disposition: form-data; name="a"') * 900,
        part(b"m", b"Content-Disposition: form-data" + b'; a="' * 1_500 + b"\\") * 900,
        part(b"m", b"Content-Disposition: form-data" + b"; a=b " * 1_200 + b"x") * 900,
    ],
    ids=["10 MB of almost boundaries", "blanks", "quotes", "parameters"],
)
def test_hostile_forms_cost_no_more_than_their_size(body: bytes) -> None:
    before = time.process_time()
    try:
        read_fields(body, B, "model")
    except MalformedForm:
        pass
    assert time.process_time() - before < 1.0
