from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, example, given, settings

from gatewright.config.documents import Gateway, Target
from gatewright.config.load import COMMAND_LINE, MAX_FILE_BYTES, Loaded, load
from gatewright.config.problems import ConfigError
from gatewright.core.secret import Secret

MESSAGES = Path(__file__).parent / "messages"
ENVIRONMENT = {"OPENAI_API_KEY": "sk-live-1", "TYPE": "openai", "LISTEN": "127.0.0.1:9000"}

FULL = """\
listen: 127.0.0.1:8080
admin: 127.0.0.1:8081
limits: {body_bytes: 1000000}
cors:
  origins: ["https://chat.example.com"]
providers:
  openai: &openai {type: openai, key: "${env:OPENAI_API_KEY}"}
  other: {<<: *openai, url: "http://127.0.0.1:9000/v1"}
models:
  assistant:
    targets:
      - {provider: openai, model: gpt-4.1-mini, weight: 90}
      - provider: other
        model: qwen
    fallback: [{provider: other}]
    attempts: 2
  "gpt-*": {targets: [{provider: openai}]}
consumers:
  acme: {teams: {search: {apps: {indexer: {keys: ["sha256:%064d"]}}}}}
policies:
  - filter: rate_limit
    on: {consumers: ["acme/*"], models: [assistant]}
    config: {requests: 600, per: minute}
""".replace("%064d", "0" * 64)


def resolve(scheme: str, name: str) -> str | None:
    return ENVIRONMENT.get(name) if scheme == "env" else None


def read(*texts: str, **overrides: str) -> Loaded:
    return load([(f"{i}.yaml", text.encode()) for i, text in enumerate(texts)], resolve, overrides=overrides)


def told(loaded: Loaded) -> list[str]:
    return [str(error) for error in loaded.errors]


def test_a_whole_file_becomes_a_document() -> None:
    loaded = read(FULL)
    assert (loaded.errors, loaded.warnings) == ((), ())
    assert loaded.document is not None
    assert loaded.document.models["assistant"].targets[0] == Target(provider="openai", model="gpt-4.1-mini", weight=90)
    assert loaded.document.providers["other"] == {
        "type": "openai",
        "key": Secret("sk-live-1"),
        "url": "http://127.0.0.1:9000/v1",
    }
    assert loaded.document.policies[0].on.models == ["assistant"]
    assert loaded.document.policies[0].config == {"requests": 600, "per": "minute"}


def test_no_file_is_the_default_document() -> None:
    loaded = load([], resolve)
    assert loaded.document == Gateway()
    assert loaded.locate("listen") is None


def test_json_means_the_same() -> None:
    models = b'"models": {"m": {"targets": [\n{"provder": 1}]}}'
    data = b'{"$schema": "s.json", "providers": {"p": {"type": "openai"}},\n' + models + b"}"
    assert told(load([("g.json", data)], resolve)) == [
        "g.json:3: models.m.targets[0].provder: unknown key; did you mean `provider`?",
        "g.json:3: models.m.targets[0]: `provider` is missing; add `provider: …` (text)",
    ]


def test_a_folder_is_one_document_in_the_order_of_its_names() -> None:
    files = [
        ("b.yaml", b"policies: [{filter: second}]\nmodels: {m: {targets: [{provider: p}]}}"),
        ("a.json", b'{"providers": {"p": {"type": "x"}}, "policies": [{"filter": "first"}]}'),
        ("c.yaml", b""),
    ]
    loaded = load(files, resolve)
    assert loaded.errors == ()
    assert loaded.document is not None
    assert [policy.filter for policy in loaded.document.policies] == ["first", "second"]
    assert loaded.locate("policies[1].filter") == ("b.yaml", 1)
    assert loaded.locate("providers.p.type") == ("a.json", 1)


def test_later_stages_place_their_own_errors() -> None:
    loaded = read(FULL)
    assert loaded.locate("models.gpt-*.targets[0].provider") == ("0.yaml", 17)
    assert loaded.locate("policies[0].config.requests") == ("0.yaml", 23)
    assert loaded.locate("policies[0].config.burst") == ("0.yaml", 23)
    assert loaded.locate("timeouts.drain_s") is None
    placed = loaded.place(
        [ConfigError("policies[0].config", "x"), ConfigError("providers.openai.url", "y"), ConfigError("log", "z")]
    )
    assert [(error.path, error.file, error.line) for error in placed] == [
        ("log", None, None),
        ("providers.openai.url", "0.yaml", 7),
        ("policies[0].config", "0.yaml", 23),
    ]
    already = ConfigError("models", "x", "elsewhere", 3)
    assert loaded.place([already]) == [already]


def test_errors_of_a_later_stage_about_the_whole_name_the_file() -> None:
    assert read(FULL).place([ConfigError("", "x")]) == [ConfigError("", "x", "0.yaml", None)]
    assert load([], resolve).place([ConfigError("", "x")]) == [ConfigError("", "x", None, None)]


def test_the_type_of_a_provider_may_be_a_reference_and_is_then_plain() -> None:
    loaded = read("providers: {p: {type: '${env:TYPE}', url: '${env:LISTEN}'}}")
    assert loaded.document is not None
    assert loaded.document.providers["p"] == {"type": "openai", "url": Secret("127.0.0.1:9000")}
    assert read("listen: ${env:LISTEN}").document == Gateway(listen="127.0.0.1:9000")


def test_overrides_count_before_anything_is_checked() -> None:
    loaded = read("listen: nonsense", listen="127.0.0.1:7000")
    assert loaded.document is not None
    assert loaded.document.listen == "127.0.0.1:7000"
    assert loaded.locate("listen") is None
    refused = read("admin: 127.0.0.1:1", listen="0.0.0.0:7000")
    (error,) = refused.errors
    assert (error.path, error.file, error.line) == ("listen", COMMAND_LINE, None)
    assert str(error).startswith("command line: listen: 0.0.0.0:7000 can be reached from the network")


def test_an_override_is_no_reference() -> None:
    (error,) = read("", listen="${env:LISTEN}").errors
    assert "cannot listen there" in error.message


def test_warnings_come_with_their_lines_and_only_when_nothing_is_wrong() -> None:
    text = "providers: {p: {type: x}}\nmodels: {m: {targets: [{provider: p}]}}\n"
    text += "policies:\n  - filter: f\n    on: {models: [n]}"
    (warning,) = read(text).warnings
    assert str(warning).startswith("0.yaml:5: policies[0].on.models[0]: no model matches `n`")
    assert read(text + "\nlisten: x").warnings == ()


def test_after_a_file_that_cannot_be_read_nothing_is_guessed() -> None:
    loaded = read("providers: {p: {type: x}", "models: {m: {targets: [{provider: p}]}, n: 5}")
    assert len(loaded.errors) == 1
    assert "not valid YAML" in loaded.errors[0].message
    assert loaded.document is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"listen: \xff", "f.yaml:1: not UTF-8 text; save the file as UTF-8"),
        (b"a: 1\nb: 2\nc: \xc3(", "f.yaml:3: not UTF-8 text; save the file as UTF-8"),
        ("listen: x".encode("utf-16"), "f.yaml:1: not UTF-8 text; save the file as UTF-8"),
        (b"#" * (MAX_FILE_BYTES + 1), "f.yaml: larger than 8 MiB; split it into several files"),
        (b"- 1", "f.yaml:1: expected a mapping at the top, with keys such as `providers:` and `models:`"),
    ],
)
def test_files_that_are_no_configuration_at_all(data: bytes, message: str) -> None:
    assert told(load([("f.yaml", data)], resolve)) == [message]


def test_a_byte_order_mark_is_no_text() -> None:
    assert load([("f.yaml", b"\xef\xbb\xbflisten: 127.0.0.1:1")], resolve).document == Gateway(listen="127.0.0.1:1")


def test_rubbish_is_told_only_so_often() -> None:
    errors = read(
        "models:\n" + "\n".join(f"  m{i}: {{targets: [{{provider: p{i}, x: 1}}]}}" for i in range(500))
    ).errors
    assert len(errors) == 201
    assert str(errors[-1]) == "there is more than these 200 problems; mend them first"


@pytest.mark.parametrize("case", sorted(path.stem for path in MESSAGES.glob("*.yaml")))
def test_what_an_operator_reads(case: str) -> None:
    """Each `messages/<case>.yaml` with all that is told about it in `messages/<case>.txt`: read them aloud."""
    loaded = load([(f"{case}.yaml", (MESSAGES / f"{case}.yaml").read_bytes())], resolve)
    lines = told(loaded) + [f"warning: {warning}" for warning in loaded.warnings]
    assert "\n".join(lines) + "\n" == (MESSAGES / f"{case}.txt").read_text()


DEFAULTED = {"listen", "admin", "consumers", "models", "anonymous"}
"""A default may be what is wrong, and it stands nowhere."""


def check(files: list[tuple[str, bytes]]) -> None:
    """Whatever the bytes: a document or errors, never both, nothing raised, and no secret shown."""
    loaded = load(files, resolve)
    assert (loaded.document is None) == bool(loaded.errors)
    for error in (*loaded.errors, *loaded.warnings):
        assert "sk-live-1" not in str(error)
        assert error.message
        assert "\n" not in str(error)
        loaded.locate(error.path)
        if error.path and error.path.partition(".")[0] not in DEFAULTED:
            assert error.file, error


fuzz = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
names = st.sampled_from(["f.yaml", "f.json"])
pieces = st.sampled_from(
    [
        *(
            b"",
            b"\n",
            b" ",
            b"  ",
            b"\t",
            b"\r",
            b":",
            b": ",
            b"- ",
            b"[",
            b"]",
            b"{",
            b"}",
            b'"',
            b"'",
            b"#",
            b",",
            b"\\",
        ),
        *(b"&a ", b"*a", b"*", b"!", b"|", b">", b"?", b"%", b"@", b"<<: *openai", b"---\n", b"...\n", b"on", b"yes"),
        *(b"${", b"${env:", b"$${", b"${env:OPENAI_API_KEY}", b"null", b"~", b"1", b"1e999", b"9" * 30),
        *(b"\x00", b"\xff", b"\xc3\xbc", b"\xe2\x80\xa8", b"\\u0000", b"\\ud800"),
    ]
)


@fuzz
@given(name=names, data=st.binary(max_size=300))
@example(name="f.yaml", data=b"? ? ? a\n")
@example(name="f.json", data=b'{"a\\u0000": {"\\n": 1}}')
def test_no_bytes_are_too_strange(name: str, data: bytes) -> None:
    check([(name, data)])


@fuzz
@given(name=names, parts=st.lists(pieces, max_size=40))
def test_no_heap_of_syntax_is_too_strange(name: str, parts: list[bytes]) -> None:
    check([(name, b"".join(parts))])


@fuzz
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(FULL)), st.integers(0, 12), pieces | st.binary(max_size=3)), min_size=1, max_size=4
    )
)
def test_no_typo_is_too_strange(edits: list[tuple[int, int, bytes]]) -> None:
    data = FULL.encode()
    for start, length, piece in edits:
        data = data[:start] + piece + data[start + length :]
    check([("f.yaml", data)])


@fuzz
@given(source=st.data())
def test_no_lines_in_the_wrong_place_are_too_strange(source: st.DataObject) -> None:
    lines = FULL.splitlines()
    chosen = source.draw(st.lists(st.sampled_from(lines), max_size=12))
    split = source.draw(st.integers(0, len(chosen)))
    files = ["\n".join(part).encode() for part in (chosen[:split], chosen[split:])]
    check([("a.yaml", files[0]), ("b.yaml", files[1])])


@pytest.mark.parametrize(
    "text",
    [
        "models: {m: {targets: [{provider: '${env:KEY}'}]}}",
        "models: {m: {targets: [{provider: up}]}}\npolicies: [{filter: budget, on: {models: ['${env:KEY}']}}]",
        "policies: [{filter: budget, name: '${env:KEY}'}, {filter: budget, name: '${env:KEY}'}]",
        "cors: {origins: ['${env:KEY}']}",
    ],
)
def test_what_is_said_does_not_show_what_references_stand_for(text: str) -> None:
    document = f"providers: {{up: {{type: openai}}}}\n{text}\n".encode()
    loaded = load([("g.yaml", document)], lambda scheme, name: "sk-live-1")
    said = [error.message for error in (*loaded.errors, *loaded.warnings)]
    assert said
    assert "sk-live-1" not in str(said)
    assert "***" in str(said) or "origin" in str(said)


def test_errors_of_later_stages_do_not_show_them_either() -> None:
    loaded = load([("g.yaml", b"listen: '${env:ADDRESS}'")], lambda scheme, name: "127.0.0.1:9000")
    (error,) = loaded.place([ConfigError("listen", "127.0.0.1:9000 is in use")])
    assert error.message == "*** is in use"
