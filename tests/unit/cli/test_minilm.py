import io
import random
import struct
from typing import Any

import msgspec
import pytest

from gatewright.cli.minilm import write_gguf

VOCABULARY = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncat\n##s\n"
LAYER = "encoder.layer.0.attention.self.query"


def safetensors(tensors: dict[str, tuple[list[int], list[float]]]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, (shape, values) in tensors.items():
        packed = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    encoded = msgspec.json.encode(header)
    return struct.pack("<Q", len(encoded)) + encoded + data


class Reader:
    """Just enough of GGUF to read back what was written."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 24
        magic, version, tensors, settings = struct.unpack_from("<4sIQQ", data)
        assert (magic, version) == (b"GGUF", 3)
        self.settings = dict(self.setting() for _ in range(settings))
        self.tensors = {name: (shape, kind, offset) for name, shape, kind, offset in map(self.tensor, range(tensors))}
        self.body = self.at + -self.at % 32

    def take(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self) -> str:
        length = self.take("<Q")
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def value(self, kind: int) -> Any:
        if kind == 8:
            return self.text()
        if kind == 9:
            inner = self.take("<I")
            return [self.value(inner) for _ in range(self.take("<Q"))]
        return self.take({4: "<I", 5: "<i", 6: "<f", 7: "<?"}[kind])

    def setting(self) -> tuple[str, Any]:
        return self.text(), self.value(self.take("<I"))

    def tensor(self, _: int) -> tuple[str, list[int], int, int]:
        name = self.text()
        shape = [self.take("<Q") for _ in range(self.take("<I"))]
        return name, shape, self.take("<I"), self.take("<Q")

    def floats(self, name: str, count: int) -> list[float]:
        _, kind, offset = self.tensors[name]
        start = self.body + offset
        assert start % 32 == 0
        if kind == 0:
            return list(struct.unpack_from(f"<{count}f", self.data, start))
        found: list[float] = []
        for block in range(count // 32):
            scale, *quants = struct.unpack_from("<e32b", self.data, start + block * 34)
            found += [scale * quant for quant in quants]
        return found


def written(tensors: dict[str, tuple[list[int], list[float]]], vocabulary: str = VOCABULARY) -> Reader:
    out = io.BytesIO()
    write_gguf(safetensors(tensors), vocabulary, out, lambda share: None)
    return Reader(out.getvalue())


def test_matrices_keep_their_values_to_eight_bits() -> None:
    chance = random.Random(7)
    values = [chance.gauss(0, 0.05) for _ in range(2 * 64)]
    reader = written({f"{LAYER}.weight": ([2, 64], values)})
    shape, kind, _ = reader.tensors["blk.0.attn_q.weight"]
    assert (shape, kind) == ([64, 2], 8)
    found = reader.floats("blk.0.attn_q.weight", len(values))
    assert max(abs(a - b) for a, b in zip(values, found, strict=True)) < max(map(abs, values)) / 127


def test_the_largest_value_of_a_block_stays_whole_and_nothing_stays_nothing() -> None:
    reader = written({f"{LAYER}.weight": ([1, 64], [1.0, -1.0, *[0.0] * 62])})
    found = reader.floats("blk.0.attn_q.weight", 64)
    assert found[:2] == pytest.approx([1.0, -1.0], rel=1e-3)
    assert found[2:] == [0.0] * 62


def test_vectors_and_what_is_only_added_stay_exact() -> None:
    exact = [0.1] * 32
    reader = written(
        {
            f"{LAYER}.bias": ([32], exact),
            "embeddings.position_embeddings.weight": ([1, 32], exact),
            "embeddings.LayerNorm.weight": ([32], exact),
        }
    )
    expected = list(struct.unpack("<32f", struct.pack("<32f", *exact)))
    for name in ("blk.0.attn_q.bias", "position_embd.weight", "token_embd_norm.weight"):
        assert reader.floats(name, 32) == expected


def test_what_llama_cpp_does_not_want_is_left_out() -> None:
    zeros = ([1, 32], [0.0] * 32)
    reader = written({"pooler.dense.weight": zeros, "embeddings.word_embeddings.weight": zeros})
    assert list(reader.tensors) == ["token_embd.weight"]


def test_the_vocabulary_is_spelled_llama_cpps_way() -> None:
    settings = written({}).settings
    assert settings["tokenizer.ggml.tokens"] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "▁cat", "s"]
    assert settings["tokenizer.ggml.token_type"] == [3, 3, 3, 3, 3, 1, 1]
    assert settings["tokenizer.ggml.cls_token_id"] == settings["tokenizer.ggml.bos_token_id"] == 2
    assert settings["general.architecture"] == "bert"
    assert settings["bert.attention.causal"] is False


def test_progress_ends_at_one() -> None:
    shares: list[float] = []
    tensors = {f"encoder.layer.{n}.output.dense.weight": ([1, 32], [1.0] * 32) for n in range(3)}
    write_gguf(safetensors(tensors), VOCABULARY, io.BytesIO(), shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    ("tensors", "vocabulary"), [({"unheard.of.weight": ([32], [0.0] * 32)}, VOCABULARY), ({}, "cat\n")]
)
def test_another_model_is_refused(tensors: dict[str, tuple[list[int], list[float]]], vocabulary: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        written(tensors, vocabulary)
