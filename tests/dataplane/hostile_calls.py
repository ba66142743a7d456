"""Hostile calls as data: well-framed HTTP whose JSON, path, method or key is wrong. The connection stays usable."""

from __future__ import annotations

import gzip
from typing import Final

from hostile_cases import AUTH, BODY, HOST, KEY, MAX_BODY_BYTES, Case, chunked, get, json_post, post

_REFUSED: Final = (400,)
_UNKNOWN: Final = (404,)
_PASSED_OR_REFUSED: Final = (200, 400)
"""Members the gateway does not read are the upstream's business; refusing them is right as well."""


def _body(body: bytes, name: str, statuses: tuple[int, ...] = _REFUSED) -> Case:
    return Case(f"body: {name}", (json_post(body),), (statuses,), False)


def _member(members: bytes, name: str, statuses: tuple[int, ...] = _REFUSED) -> Case:
    return _body(b'{"messages":[{"role":"user","content":"hi"}],' + members + b"}", name, statuses)


def _content(text: bytes, name: str, statuses: tuple[int, ...] = _PASSED_OR_REFUSED) -> Case:
    return _body(b'{"model":"m","messages":[{"role":"user","content":' + text + b"}]}", name, statuses)


def _path(target: bytes, name: str, statuses: tuple[int, ...] = _UNKNOWN) -> Case:
    return Case(f"path: {name}", (json_post(BODY, target),), (statuses,), False)


def _model_path(target: bytes, name: str, statuses: tuple[int, ...] = _UNKNOWN) -> Case:
    return Case(f"model path: {name}", (get(b"/v1/models/" + target),), (statuses,), False, "GET")


def _method(method: bytes, target: bytes, statuses: tuple[int, ...] = (405,)) -> Case:
    name = f"method: {method.decode()} {target.decode()}"
    return Case(name, (get(target, b"", method),), (statuses,), False, method.decode())


def _key(header: bytes, name: str, statuses: tuple[int, ...] = (401,), closed: bool | None = False) -> Case:
    request = b"GET /v1/models HTTP/1.1\r\n" + HOST + header + b"\r\n"
    return Case(f"key: {name}", (request,), (statuses,), closed, "GET")


def _type(value: bytes, name: str, statuses: tuple[int, ...] = _PASSED_OR_REFUSED) -> Case:
    request = json_post(BODY).replace(b"Content-Type: application/json\r\n", value)
    return Case(f"type: {name}", (request,), (statuses,), False)


NESTED: Final = 100_000

BODIES: Final = (
    _body(b"", "empty"),
    _body(b" \r\n\t ", "white space"),
    _body(b"null", "null"),
    _body(b"true", "true"),
    _body(b"5", "number"),
    _body(b'"model"', "string"),
    _body(b"[]", "empty array"),
    _body(b"[" + BODY + b"]", "array of a request"),
    _body(b"{}", "empty object"),
    _body(BODY[:-1], "without its last brace"),
    _body(BODY + b"}", "with one brace more"),
    _body(BODY + BODY, "two documents"),
    _body(BODY + b"\0", "NUL behind it"),
    _body(b"\0" + BODY, "NUL before it"),
    _body(b" \n" + BODY + b"\r\n ", "white space around", (200,)),
    _body(b"\xef\xbb\xbf" + BODY, "byte order mark", _PASSED_OR_REFUSED),
    _body(BODY.decode().encode("utf-16"), "UTF-16"),
    _body(BODY.decode().encode("utf-32"), "UTF-32"),
    _body(gzip.compress(BODY, mtime=0), "gzip without saying so"),
    _body(bytes(range(256)), "random bytes"),
    _body(b"<?xml version='1.0'?><a/>", "XML"),
    _body(b"model=m&messages=x", "a form"),
    _body(b"{'model':'m','messages':[]}", "single quotes"),
    _body(b'{model:"m",messages:[]}', "bare names"),
    _body(b'{"model":"m","messages":[],}', "trailing comma"),
    _body(b'{"model":"m","messages":[]/**/}', "comment"),
    _body(b'{"model":"m" "messages":[]}', "missing comma"),
    _body(b'{"model":"m","messages":[1,2}', "wrong bracket"),
    _body(b'{"model":"m\n","messages":[]}', "raw line end in the model name"),
    _body(b'{"model":"m","messages":[],"a\xff":1}', "bad UTF-8 in a name", _PASSED_OR_REFUSED),
    _body(b'{"model":"\xff","messages":[]}', "bad UTF-8 in the model name"),
    _body(b'{"model":"\xc0\x80","messages":[]}', "overlong NUL in the model name"),
    _body(b'{"model":"\xed\xa0\x80","messages":[]}', "encoded surrogate in the model name"),
    _body(b'{"model":"\xf4\x90\x80\x80","messages":[]}', "beyond Unicode in the model name"),
    _body(b'{"model":"\\ud800","messages":[]}', "lone surrogate as the model name", (400, 404)),
    _body(b'{"model":"\\x6d","messages":[]}', "bad escape in the model name"),
    _body(b'{"model":"\\u00","messages":[]}', "short escape in the model name"),
    _body(b'{"\\u006dodel":"m","messages":[]}', "escaped member name", _PASSED_OR_REFUSED),
    _body(b"[" * NESTED, "100,000 open brackets"),
    _body(b'{"a":' * NESTED, "100,000 open braces"),
    _body(b"[" * NESTED + b"]" * NESTED, "100,000 nested arrays"),
    _body(b'{"a":' * NESTED + b"1" + b"}" * NESTED, "100,000 nested objects"),
    _member(b'"model":"m","x":' + b"[" * NESTED + b"]" * NESTED, "member of nested arrays", _PASSED_OR_REFUSED),
    _member(
        b'"model":"m","x":' + b'{"a":' * NESTED + b"1" + b"}" * NESTED, "member of nested objects", _PASSED_OR_REFUSED
    ),
    _member(b'"model":' + b"[" * NESTED + b"]" * NESTED, "model of nested arrays"),
    _member(
        b'"model":"m","stream_options":' + b"[" * NESTED + b"]" * NESTED, "options of nested arrays", _PASSED_OR_REFUSED
    ),
    _member(
        b'"model":"m","stream":true,"stream_options":' + b"[" * NESTED + b"]" * NESTED,
        "streaming options of nested arrays",
    ),
    _member(b'"model":"m",' + b'"x":1,' * 100_000 + b'"y":1', "one member 100,000 times", _PASSED_OR_REFUSED),
    _member(b'"model":"m",' + b",".join(b'"x%d":1' % n for n in range(50_000)), "50,000 members", _PASSED_OR_REFUSED),
    _member(b'"model":"m","' + b"x" * 500_000 + b'":1', "500 KB name", _PASSED_OR_REFUSED),
    _member(b'"model":"m","temperature":1e999999', "exponent of 999999", _PASSED_OR_REFUSED),
    _member(b'"model":"m","temperature":-1e-999999', "exponent of -999999", _PASSED_OR_REFUSED),
    _member(b'"model":"m","seed":' + b"9" * 100_000, "integer of 100,000 digits", _PASSED_OR_REFUSED),
    _member(b'"model":"m","seed":0.' + b"9" * 100_000, "fraction of 100,000 digits", _PASSED_OR_REFUSED),
    _member(b'"model":"m","temperature":0.70', "trailing zero", (200,)),
    _member(b'"model":"m","temperature":NaN', "NaN"),
    _member(b'"model":"m","temperature":Infinity', "Infinity"),
    _member(b'"model":"m","temperature":-Infinity', "minus Infinity"),
    _member(b'"model":"m","temperature":+1', "plus sign"),
    _member(b'"model":"m","temperature":01', "leading zero"),
    _member(b'"model":"m","temperature":.5', "no digit before the point"),
    _member(b'"model":"m","temperature":5.', "no digit behind the point"),
    _member(b'"model":"m","temperature":0x10', "hexadecimal"),
    _member(b'"model":"m","temperature":1e', "no exponent"),
    _member(b'"model":"m","temperature":-', "only a sign"),
    _member(b'"model":"m","logprobs":True', "Python's True"),
    _member(b'"model":"m","logprobs":undefined', "undefined"),
    _content(b'"\xff\xfe"', "bad UTF-8 in the content"),
    _content(b'"\xc0\x80"', "overlong NUL in the content"),
    _content(b'"\xed\xa0\x80"', "encoded surrogate in the content"),
    _content(b'"\\ud800"', "lone high surrogate in the content", (200,)),
    _content(b'"\\udc00\\ud800"', "surrogates in the wrong order in the content", (200,)),
    _content(b'"\\u0000"', "escaped NUL in the content"),
    _content(b'"\x00"', "raw NUL in the content"),
    _content(b'"\x1b[31m\x07"', "raw control characters in the content"),
    _content(b'"' + "\U0001f600é漢\u202e".encode() * 1000 + b'"', "emoji and direction marks in the content", (200,)),
    _member(b'"other":"m"', "no model"),
    _member(b'"model":null', "model null"),
    _member(b'"model":5', "model a number"),
    _member(b'"model":1e999', "model a huge number"),
    _member(b'"model":true', "model a boolean"),
    _member(b'"model":["m"]', "model an array"),
    _member(b'"model":{"m":1}', "model an object"),
    _member(b'"model":""', "model empty", (400, 404)),
    _member(b'"model":" m"', "model with a space", (400, 404)),
    _member(b'"model":"M"', "model in capitals", (400, 404)),
    _member(b'"model":"m\\u0000"', "model with NUL", (400, 404)),
    _member(b'"model":"m\\r\\nX-Injected: 1"', "model with a line end", (400, 404)),
    _member(b'"model":"*"', "model a star", (400, 404)),
    _member(b'"model":"../../etc/passwd"', "model a path", (400, 404)),
    _member(b'"model":"' + "ｍ".encode() + b'"', "model in full-width letters", (400, 404)),
    _member(b'"model":"' + b"m" * 900_000 + b'"', "model of 900 KB", (400, 404)),
    _member(b'"model":"\\u006d"', "model escaped", (200,)),
    _member(b'"Model":"m"', "member name in capitals"),
    _member(b'"model ":"m"', "member name with a space"),
    _member(b'"model":"m","stream":"true"', "stream a string"),
    _member(b'"model":"m","stream":1', "stream a number"),
    _member(b'"model":"m","stream":[]', "stream an array"),
    _member(b'"model":"m","stream":{}', "stream an object"),
    _member(b'"model":"m","stream":null', "stream null", _PASSED_OR_REFUSED),
    _member(b'"model":"m","stream":true,"stream_options":"x"', "stream options a string", _PASSED_OR_REFUSED),
    _member(b'"model":"m","stream":true,"stream_options":[]', "stream options an array", _PASSED_OR_REFUSED),
    _member(b'"model":"m","stream":true,"stream_options":null', "stream options null", _PASSED_OR_REFUSED),
    _member(b'"model":"m","stream_options":{"include_usage":"x"}', "include_usage a string", _PASSED_OR_REFUSED),
)

PATHS: Final = (
    _path(b"/", "root"),
    _path(b"//", "two slashes"),
    _path(b"//v1//chat/completions", "doubled slashes"),
    _path(b"/v1/chat/completions/", "trailing slash"),
    _path(b"/v1/chat//completions", "doubled slash inside"),
    _path(b"/v1/./chat/completions", "dot"),
    _path(b"/v1/x/../chat/completions", "dot dot", (400, 404)),
    _path(b"/../v1/chat/completions", "dot dot first", (400, 404)),
    _path(b"/%2e%2e/v1/chat/completions", "encoded dots"),
    _path(b"/v1/%63hat/completions", "encoded letter"),
    _path(b"/v1%2fchat%2fcompletions", "encoded slashes"),
    _path(b"/v1/chat/completions%00", "encoded NUL"),
    _path(b"/v1/chat/completions%0d%0aX-Injected:1", "encoded line end"),
    _path(b"/v1/chat/completions%", "cut percent sign"),
    _path(b"/v1/chat/completions%zz", "wrong percent sign"),
    _path(b"/v1/chat/completions;a=b", "parameter"),
    _path(b"/V1/CHAT/COMPLETIONS", "capitals"),
    _path(b"/v1/chat/completions.json", "extension"),
    _path(b"/v1", "only the version"),
    _path(b"/v2/chat/completions", "another version"),
    _path(b"/v1/" + b"a/" * 20_000, "40 KB of parts"),
    _path(b"/metrics", "metrics, which are the admin listener's"),
    _path(b"/readyz", "readiness, which is the admin listener's"),
    _path(b"/admin", "admin"),
    _path(b"/v1/chat/completions?", "empty query", (200,)),
    _path(b"/v1/chat/completions?a=b&api-version=2024", "query", (200,)),
    _path(b"/v1/chat/completions?a=%00%0d%0a", "encoded control characters in the query", (200, 400)),
    _path(b"/v1/chat/completions?/../x?y", "path in the query", (200,)),
    _path(b"/v1/chat/completions?" + b"a" * 50_000, "50 KB query", (200,)),
    _model_path(b"m", "published", (200,)),
    _model_path(b"nope", "unknown"),
    _model_path(b"", "empty", (200, 404)),
    _model_path(b"m/", "trailing slash"),
    _model_path(b"..", "dot dot", (400, 404)),
    _model_path(b"../models", "dot dot models", (400, 404)),
    _model_path(b"%2e%2e%2fmodels", "encoded dot dot"),
    _model_path(b"%00", "encoded NUL"),
    _model_path(b"%ff", "encoded byte above 127"),
    _model_path(b"%0d%0aX-Injected:%201", "encoded line end"),
    _model_path(b"%", "cut percent sign"),
    _model_path(b"m%20", "encoded space"),
    _model_path(b"a" * 40_000, "40 KB"),
)

_WRONG_METHODS: Final = tuple(
    _method(method, target)
    for target in (b"/v1/chat/completions", b"/v1/completions", b"/v1/embeddings")
    for method in (b"GET", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"TRACE")
)

METHODS: Final = (
    *_WRONG_METHODS,
    _method(b"OPTIONS", b"/v1/chat/completions", (200, 204, 405)),
    _method(b"OPTIONS", b"/v1/models", (200, 204, 405)),
    _method(b"HEAD", b"/v1/models", (200, 405)),
    _method(b"POST", b"/v1/models"),
    _method(b"PUT", b"/v1/models"),
    _method(b"DELETE", b"/v1/models"),
    _method(b"DELETE", b"/v1/models/m"),
    _method(b"HEAD", b"/v1/models/m", (200, 405)),
    _method(b"HEAD", b"/v1/nothing", _UNKNOWN),
    _method(b"PROPFIND", b"/v1/models"),
    Case(
        "method: PUT with a body that must be read",
        (post(line=b"PUT /v1/chat/completions HTTP/1.1\r\n"),),
        ((405,),),
        False,
    ),
    Case(
        "method: DELETE with a chunked body",
        (get(b"/v1/models", b"Transfer-Encoding: chunked\r\n", b"DELETE") + chunked(b"{}"),),
        ((405,),),
        False,
    ),
)

KEYS: Final = (
    _key(b"", "none"),
    _key(b"Authorization:\r\n", "empty header"),
    _key(b"Authorization: Bearer\r\n", "no key"),
    _key(b"Authorization: Bearer \r\n", "blank key"),
    _key(b"Authorization: Bearer wrong\r\n", "wrong"),
    _key(b"Authorization: Bearer " + KEY.encode() + b"x\r\n", "one letter more"),
    _key(b"Authorization: Bearer " + KEY.encode()[:-1] + b"\r\n", "one letter less"),
    _key(b"Authorization: Bearer " + KEY.upper().encode() + b"\r\n", "capitals"),
    _key(b"Authorization: Bearer sha256:" + b"0" * 64 + b"\r\n", "a hash"),
    _key(b"Authorization: Basic dXNlcjpwYXNz\r\n", "Basic"),
    _key(b"Authorization: " + KEY.encode() + b"\r\n", "without Bearer"),
    _key(b"Authorization: Bearer " + KEY.encode() + b", Bearer x\r\n", "list"),
    _key(b"Authorization: Bearer \xff\xfe\r\n", "bytes above 127", (400, 401), None),
    _key(b"Authorization: Bearer " + b"k" * 50_000 + b"\r\n", "50 KB"),
    _key(b"Authorization: Bearer a\0b\r\n", "NUL", (400,), True),
    _key(b"X-Api-Key: wrong\r\n", "wrong in x-api-key"),
    _key(AUTH + b"X-Api-Key: wrong\r\n", "right and wrong", (200, 400, 401)),
    _key(AUTH.replace(b"Bearer", b"bearer"), "bearer in lower case", (200,)),
    Case(
        "key: in the query",
        (b"GET /v1/models?api_key=%b HTTP/1.1\r\n" % KEY.encode() + HOST + b"\r\n",),
        ((401,),),
        False,
        "GET",
    ),
    Case(
        "key: wrong with a large body",
        (json_post(b"{" + b" " * 900_000).replace(AUTH, b"Authorization: Bearer no\r\n"),),
        ((401,),),
        False,
    ),
)

TYPES: Final = (
    _type(b"", "none"),
    _type(b"Content-Type:\r\n", "empty"),
    _type(b"Content-Type: text/plain\r\n", "plain text"),
    _type(b"Content-Type: application/x-www-form-urlencoded\r\n", "form"),
    _type(b"Content-Type: multipart/form-data; boundary=x\r\n", "multipart"),
    _type(b"Content-Type: application/json; charset=utf-16\r\n", "UTF-16"),
    _type(b"Content-Type: application/json; charset=utf-8\r\n", "UTF-8", (200,)),
    _type(b"Content-Type: " + b"x" * 40_000 + b"\r\n", "40 KB"),
    _type(b"Content-Type: application/json\r\nContent-Encoding: gzip\r\n", "gzip claimed", (200, 400)),
)

SIZES: Final = (
    Case("size: exactly the limit", (json_post(BODY + b" " * (MAX_BODY_BYTES - len(BODY))),), ((200,),), False),
    Case("size: one byte more", (json_post(BODY + b" " * (MAX_BODY_BYTES - len(BODY) + 1)),), ((413,),)),
    Case("size: announced only", (post(b"Content-Length: 99999999\r\n", b""),), ((413,),)),
    Case("size: ten times the limit", (json_post(b" " * 10 * MAX_BODY_BYTES),), ((413,),)),
    Case(
        "size: chunked beyond the limit",
        (post(b"Transfer-Encoding: chunked\r\n", chunked(b" " * 3_000_000, 50_000)),),
        ((413,),),
    ),
    Case(
        "size: one chunk beyond the limit",
        (post(b"Transfer-Encoding: chunked\r\n", chunked(b" " * 3_000_000)),),
        ((413,),),
    ),
    Case("size: beyond the limit on an unknown path", (json_post(b" " * 3_000_000, b"/v1/nope"),), ((404, 413),)),
    Case("size: beyond the limit without a key", (json_post(b" " * 3_000_000).replace(AUTH, b""),), ((401, 413),)),
)

CALLS: Final = (*BODIES, *PATHS, *METHODS, *KEYS, *TYPES, *SIZES)
"""Everything at the level of the API."""
