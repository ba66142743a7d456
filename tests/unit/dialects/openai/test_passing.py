"""The table of surfaces that are passed through."""

from __future__ import annotations

import pytest

from gatewright.core.surface import Dialect
from gatewright.dialects.openai.passing import PASSING
from gatewright.dialects.openai.passing_answer import EventReader

every = pytest.mark.parametrize("dialect", PASSING, ids=[dialect.name for dialect in PASSING])


def test_what_is_served() -> None:
    assert [
        f"{surface.method.decode()} {surface.path.decode()} {surface.answer}"
        for dialect in PASSING
        for surface in dialect.surfaces
    ] == [
        "POST /v1/images/generations json",
        "POST /v1/images/edits json",
        "POST /v1/images/variations json",
        "POST /v1/audio/transcriptions any",
        "POST /v1/audio/translations any",
        "POST /v1/audio/speech bytes",
        "POST /v1/moderations json",
        "POST /v1/rerank json",
        "POST /v2/rerank json",
        "POST /v1/files json",
        "GET /v1/files json",
        "GET /v1/files/{id} json",
        "DELETE /v1/files/{id} json",
        "GET /v1/files/{id}/content bytes",
        "POST /v1/batches json",
        "GET /v1/batches json",
        "GET /v1/batches/{id} json",
        "POST /v1/batches/{id}/cancel json",
    ]


@every
def test_a_dialect_has_no_codec_and_says_how_its_streams_are_read(dialect: Dialect) -> None:
    assert dialect.family == "passing"
    assert (dialect.chat, dialect.embeddings, dialect.count) == (None, None, None)
    assert dialect.has_streams == (dialect.reader is not None)
    assert dialect.reader is None or isinstance(dialect.reader(), EventReader)
    assert dialect.has_streams == dialect.name.startswith(("openai.images", "openai.audio"))


@every
def test_only_what_is_held_names_no_model_and_has_ids(dialect: Dialect) -> None:
    is_held = dialect.name in ("openai.files", "openai.batches")
    for surface in dialect.surfaces:
        assert surface.names_model is not is_held
        assert ("{id}" in surface.upstream) == (b"{id}" in surface.path)
        assert surface.path.decode().endswith(surface.upstream)
        assert is_held or surface.upstream == ""
    assert dialect.model_paths == (() if is_held else (("model",),))
    body = b'{"model": "m", "usage": {"input_tokens": 1}}'
    model, usage = dialect.read_answer(body)
    assert (model is None, usage is None) == (is_held, is_held)


def test_output_is_counted_as_what_it_is() -> None:
    kinds = {}
    for dialect in PASSING:
        _, usage = dialect.read_answer(b'{"usage": {"output_tokens": 3}, "duration": 2}')
        if usage is not None:
            kinds[dialect.name] = (usage.output_image, usage.output_audio, usage.audio_s)
    assert kinds["openai.images.edits"] == (3, 0, None)
    assert kinds["openai.audio.speech"] == (0, 3, None)
    assert kinds["openai.audio.translations"] == (0, 0, 2.0)
    assert kinds["cohere.rerank"] == (0, 0, None)
