import pytest

from gatewright.config.problems import ConfigError
from gatewright.config.references import (
    UNRESOLVED,
    expand,
    expand_text,
    find_revealed,
    holds_reference,
    is_reference,
    mask,
)
from gatewright.config.yaml_reader import parse_yaml
from gatewright.core.secret import Secret

VALUES = {("env", "KEY"): "sk-1", ("env", "HOST"): "h", ("file", "/run/key"): "sk-2\r\n", ("env", "EMPTY"): ""}


def resolve(scheme: str, name: str) -> str | None:
    if name == "/locked":
        raise PermissionError(13, "Permission denied", name)
    if name == "/binary":
        return b"sk-\xff".decode()
    if "\0" in name:
        raise ValueError("embedded null byte")
    return VALUES.get((scheme, name))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${env:KEY}", "sk-1"),
        ("Bearer ${env:KEY}", "Bearer sk-1"),
        ("http://${env:HOST}:${env:KEY}/", "http://h:sk-1/"),
        ("${file:/run/key}", "sk-2"),
        ("$${x} ${env:KEY}", "${x} sk-1"),
    ],
)
def test_text_with_a_reference_becomes_a_secret(text: str, value: str) -> None:
    assert expand_text(text, resolve) == (Secret(value), [])


def test_templates_over_claims_are_left_alone() -> None:
    tree = parse_yaml(
        "gatewright.yaml",
        """
identity:
  issuers: {corp.eu: {consumer: "acme/${groups[0]}/${azp}", ca: "${env:HOST}"}}
  introspection: {consumer: "acme/opaque/${client_id}"}
  certificates: {consumer: "acme/${subject.OU}/${subject.CN}"}
consumer: "${azp}"
""",
        problems := [],
    )
    assert tree is not None
    assert expand(tree, "", resolve, problems) == {
        "identity": {
            "issuers": {"corp.eu": {"consumer": "acme/${groups[0]}/${azp}", "ca": Secret("h")}},
            "introspection": {"consumer": "acme/opaque/${client_id}"},
            "certificates": {"consumer": "acme/${subject.OU}/${subject.CN}"},
        },
        "consumer": UNRESOLVED,
    }
    assert [problem.path for problem in problems] == ["consumer"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("plain", "plain"), ("$HOME and $5", "$HOME and $5"), ("$${env:KEY}", "${env:KEY}"), ("$$", "$$"), ("{x}", "{x}")],
)
def test_text_without_a_reference_stays_text(text: str, value: str) -> None:
    assert expand_text(text, resolve) == (value, [])


def test_what_was_put_in_is_not_searched_again() -> None:
    assert expand_text("${env:A}", lambda scheme, name: "${env:KEY}") == (Secret("${env:KEY}"), [])


FORMS = "write ${env:NAME} or ${file:/path}, or $${ for a literal ${"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "${env:NOPE}",
            "the environment variable `NOPE` is not set; set it where the gateway is started, or take this entry out",
        ),
        (
            "${env:EMPTY}",
            "the environment variable `EMPTY` is empty; set it where the gateway is started, or take this entry out",
        ),
        ("${file:/nope}", "the file `/nope` does not exist; create it, or correct the path"),
        ("${file:/locked}", "the file `/locked` cannot be read (Permission denied); create it, or correct the path"),
        ("${file:/binary}", "the file `/binary` cannot be read (not UTF-8 text); create it, or correct the path"),
        (
            "${file:a\0b}",
            "the file `a\\x00b` cannot be read (embedded null byte); create it, or correct the path",
        ),
        ("${KEY}", f"${{KEY}} is not a reference; {FORMS}"),
        ("${vault:x}", f"${{vault:x}} is not a reference; {FORMS}"),
        ("${env:}", f"${{env:}} is not a reference; {FORMS}"),
        ("${}", f"${{}} is not a reference; {FORMS}"),
        ("a ${env:KEY", f"a reference begins with ${{ but has no closing brace; {FORMS}"),
        ("${env:${env:KEY}}", f"a reference begins with ${{ but has no closing brace; {FORMS}"),
    ],
)
def test_what_fails_is_told_with_its_remedy(text: str, reason: str) -> None:
    value, reasons = expand_text(text, resolve)
    assert value is UNRESOLVED
    assert reasons == [reason]


def test_each_failure_in_one_text_is_told() -> None:
    assert len(expand_text("${env:A} ${env:B} ${env:KEY}", resolve)[1]) == 2


def test_a_tree_becomes_plain_data_with_secrets_and_placed_problems() -> None:
    problems: list[ConfigError] = []
    text = "a: {b: ['${env:KEY}', 1, text]}\nc:\n  d: ${env:NOPE}\n"
    tree = parse_yaml("f.yaml", text, problems)
    assert tree is not None
    data = expand(tree, "", resolve, problems)
    assert data == {"a": {"b": [Secret("sk-1"), 1, "text"]}, "c": {"d": UNRESOLVED}}
    assert [(p.path, p.file, p.line) for p in problems] == [("c.d", "f.yaml", 3)]


@pytest.mark.parametrize(
    ("text", "holds", "is_one"),
    [
        ("${env:KEY}", True, True),
        ("${file:/run/key}", True, True),
        ("x${env:KEY}", True, False),
        ("${env:KEY}${env:KEY}", True, False),
        ("${env:KEY} ", True, False),
        ("${env:KEY", True, False),
        ("${other:KEY}", True, False),
        ("$${env:KEY}", False, False),
        ("$$${env:KEY}", False, False),
        ("plain {text}", False, False),
        ("", False, False),
    ],
)
def test_references_are_told_from_text(text: str, holds: bool, is_one: bool) -> None:
    assert (holds_reference(text), is_reference(text)) == (holds, is_one)
    _, reasons = expand_text(text, lambda scheme, name: "value")
    assert holds or not reasons


def test_what_references_stand_for_is_found_wherever_it_is() -> None:
    data = {"a": [Secret("one"), "plain", {"b": Secret("two")}], "c": 3}
    assert list(find_revealed(data)) == ["one", "two"]


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        ("there is no provider `sk-live-1`", "there is no provider `***`"),
        ("'sk-live-1' and sk-live-1", "'***' and ***"),
        ("there is no filter 'two\\nlines'", "there is no filter '***'"),
        ("sk-live-10 is another word", "sk-live-10 is another word"),
        ("eu is too short for a secret", "eu is too short for a secret"),
    ],
)
def test_errors_do_not_show_what_references_stand_for(message: str, masked: str) -> None:
    assert mask(message, ["sk-live-1", "two\nlines", "eu", ""]) == masked
