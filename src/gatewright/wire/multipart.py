"""The text fields of a `multipart/form-data` body (RFC 7578, RFC 2046 §5.1), and putting another value into one.

Bodies are passed on byte for byte, so whoever reads them next must find in them what was found here: a field that only
the other reader sees would escape every policy. Readers differ on line ends, padding, preambles, escapes, repeated
parameters and boundaries inside a part. All of that is refused instead of read; client libraries send none of it.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

_TOKEN: Final = rb"[!#$%&'+.^_`|~0-9A-Za-z*-]+"
_QUOTED: Final = rb'(?:[^"\\\r\n\0]|\\[^\r\n\0])*'
_PARAMETER: Final = rb';[ \t]*(%b)=(?:(%b)|"(%b)")' % (_TOKEN, _TOKEN, _QUOTED)
_PARAMETERS: Final = re.compile(_PARAMETER)
_FORM: Final = re.compile(rb"multipart/form-data[ \t]*((?:" + _PARAMETER + rb"[ \t]*)*)\Z", re.IGNORECASE)
_DISPOSITION: Final = re.compile(rb"form-data[ \t]*((?:" + _PARAMETER + rb"[ \t]*)*)\Z", re.IGNORECASE)
_BOUNDARY: Final = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]\Z")
_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n\0]*)\Z")
_NAME: Final = re.compile(rb"[0-9A-Za-z_.\[\]-]{1,256}\Z")
_PLAIN: Final = re.compile(rb"text/plain(?:[ \t]*;[ \t]*charset=\"?(?:utf-8|us-ascii)\"?)?\Z", re.IGNORECASE)
_CHARSETS: Final = frozenset((b"utf-8", b"us-ascii"))
_UNCODED: Final = frozenset((b"7bit", b"8bit", b"binary"))
_MAX_PARTS: Final = 1_000
_MAX_HEAD_BYTES: Final = 8_192
"""Headers of one part; a long file name in UTF-8 fits many times."""
_MAX_VALUE_BYTES: Final = 1_024
"""Of the field that is looked for: names are short."""


class MalformedForm(ValueError):
    """A body that not every reader would understand alike. The message says what is wrong with it."""


class Field(Struct, frozen=True):
    """A text field of a form."""

    value: str
    start: int
    """Where in the body its value begins."""
    end: int


class _Part(Struct):
    name: bytes
    headers: dict[bytes, bytes]
    is_file: bool


def parse_boundary(content_type: bytes) -> bytes:
    """The boundary that a Content-Type of `multipart/form-data` names. Raises MalformedForm."""
    found = _FORM.match(content_type)
    if found is None:
        raise MalformedForm("the Content-Type is not `multipart/form-data; boundary=…`")
    boundary = _one_parameter(found.group(1), b"boundary")
    if boundary is None:
        raise MalformedForm("the Content-Type names no boundary")
    charset = _one_parameter(found.group(1), b"charset")
    if charset is not None and charset.lower() not in _CHARSETS:
        raise MalformedForm("the form is not in UTF-8")
    if not _BOUNDARY.match(boundary):
        raise MalformedForm("the boundary is empty, too long, or holds characters that a boundary may not have")
    return boundary


def read_fields(body: bytes, boundary: bytes, strict: str) -> dict[str, Field]:
    """The text fields by name. Files are left out, and so are lists (`include[]`) and what is not UTF-8.

    `strict` names the field that may be none of these. Raises MalformedForm, also when a field is there twice.
    """
    fields: dict[str, Field] = {}
    start = _begin(body, boundary)
    for count in range(_MAX_PARTS + 1):
        end, is_last = _end_of_part(body, start, boundary)
        if count == _MAX_PARTS:
            raise MalformedForm(f"the form has more than {_MAX_PARTS:,} parts")
        part, content = _read_head(body, start, end)
        name = part.name.decode()
        field = _read_strictly(body, content, end, part) if _stem(name) == strict else _read(body, content, end, part)
        if field is not None:
            if name in fields:
                raise MalformedForm(f"the field `{name}` is there twice")
            fields[name] = field
        if is_last:
            break
        start = end + len(boundary) + 6  # the CRLF before it, two dashes, the boundary and its CRLF
    return fields


def replace_field(body: bytes, field: Field, value: bytes) -> bytes:
    """The body with another value in a field; every other byte stays."""
    return b"".join((body[: field.start], value, body[field.end :]))


def add_field(body: bytes, boundary: bytes, name: str, value: bytes) -> bytes:
    """The body with one more field before all others; every other byte stays."""
    return b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n%b' % (boundary, name.encode(), value, body)


def _begin(body: bytes, boundary: bytes) -> int:
    """Where the first part begins. Raises MalformedForm unless every boundary in the body is a delimiter line."""
    opening = b"--%b\r\n" % boundary
    if not body.startswith(opening):
        raise MalformedForm("the body does not begin with its boundary")
    mark = b"--" + boundary
    delimiter = b"\r\n" + mark
    # A boundary behind a bare LF, or in the middle of a line, is a delimiter to some readers and content to others.
    if body.count(mark, 1) != body.count(delimiter):
        raise MalformedForm("the boundary stands where no part ends")
    return len(opening)


def _end_of_part(body: bytes, start: int, boundary: bytes) -> tuple[int, bool]:
    """Where the part that begins at `start` ends, and whether it is the last one."""
    end = body.find(b"\r\n--" + boundary, start)
    if end < 0:
        raise MalformedForm("the last part has no end")
    after = end + len(boundary) + 4
    if body.startswith(b"\r\n", after):
        return end, False
    if not body.startswith(b"--", after) or body[after + 2 :] not in (b"", b"\r\n"):
        raise MalformedForm("something stands behind a boundary, or behind the end of the form")
    return end, True


def _read_head(body: bytes, start: int, end: int) -> tuple[_Part, int]:
    """The headers of a part, and where its content begins."""
    stop = body.find(b"\r\n\r\n", start, min(end, start + _MAX_HEAD_BYTES))
    if stop < 0:
        raise MalformedForm("a part has no headers, no blank line behind them, or too many of them")
    headers: dict[bytes, bytes] = {}
    for line in body[start:stop].split(b"\r\n"):
        found = _LINE.match(line)
        if found is None:
            raise MalformedForm("a header of a part is not one line of `name: value`")
        name = found.group(1).lower()
        if name in headers:
            raise MalformedForm(f"a part has the header {name.decode()} twice")
        headers[name] = found.group(2).strip(b" \t")
    return _read_part(headers), stop + 4


def _read_part(headers: dict[bytes, bytes]) -> _Part:
    found = _DISPOSITION.match(headers.get(b"content-disposition", b""))
    if found is None:
        raise MalformedForm('a part lacks its `Content-Disposition: form-data; name="…"`')
    parameters = found.group(1)
    name = _one_parameter(parameters, b"name")
    if name is None or not _NAME.match(name):
        raise MalformedForm("the name of a field is missing, or is not made of letters, digits and `_-.[]`")
    if name == b"_charset_":
        raise MalformedForm("the form names a character set; UTF-8 is the only one")
    if headers.get(b"content-transfer-encoding", b"binary").lower() not in _UNCODED:
        raise MalformedForm("a part has a Content-Transfer-Encoding, which forms no longer use")
    if headers.get(b"content-type", b"").lower().startswith(b"multipart/"):
        raise MalformedForm("a part has parts itself")
    is_file = any(key.lower().startswith(b"filename") for key, _, _ in _PARAMETERS.findall(parameters))
    return _Part(name, headers, is_file)


def _one_parameter(text: bytes, wanted: bytes) -> bytes | None:
    """The value of the parameter `wanted` in `; name=value…`; None when it is absent or spelled with an escape."""
    value: bytes | None = None
    for key, bare, quoted in _PARAMETERS.findall(text):
        key = key.lower()
        if key.partition(b"*")[0] != wanted:
            continue
        if key != wanted or value is not None:
            raise MalformedForm(f"the parameter `{wanted.decode()}` is there twice, or in an extended form")
        value = bare or quoted
    return value


def _stem(name: str) -> str:
    return name.partition("[")[0]


def _read(body: bytes, start: int, end: int, part: _Part) -> Field | None:
    if part.is_file or b"[" in part.name:
        return None
    try:
        return Field(str(body[start:end], "utf-8"), start, end)
    except UnicodeDecodeError:
        return None


def _read_strictly(body: bytes, start: int, end: int, part: _Part) -> Field:
    name = part.name.decode()
    if "[" in name:
        raise MalformedForm(f"the field `{_stem(name)}` is written with brackets")
    if not _PLAIN.match(part.headers.get(b"content-type", b"text/plain")):
        raise MalformedForm(f"the field `{name}` is not plain text")
    if end - start > _MAX_VALUE_BYTES:
        raise MalformedForm(f"the field `{name}` is longer than {_MAX_VALUE_BYTES:,} bytes")
    field = _read(body, start, end, part)
    if field is None or not field.value.isprintable():
        raise MalformedForm(f"the field `{name}` is a file, is not UTF-8, or holds line breaks or control characters")
    return field
