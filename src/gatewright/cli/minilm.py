"""The embedding model in llama.cpp's format: all-MiniLM-L6-v2 from safetensors to GGUF with 8-bit weights.

No package carries the model as GGUF, so `gatewright local pull` writes it, once, from the published weights. The result
is the same byte for byte everywhere, which is how its hash can be pinned. Formats: GGUF version 3 with Q8_0 blocks
(github.com/ggml-org/ggml, docs/gguf.md) and safetensors (huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Final

import msgspec
from msgspec import Struct

_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_PLAIN, _Q8_0 = 0, 8
_ALIGNMENT: Final = 32
_BLOCK: Final = 32
_QUANTUM: Final = struct.Struct("<e32b")
_LARGEST: Final = 127

_SETTINGS: Final[tuple[tuple[str, int, Any], ...]] = (
    ("general.architecture", _STRING, "bert"),
    ("general.name", _STRING, "all-MiniLM-L6-v2"),
    ("general.license", _STRING, "apache-2.0"),
    ("general.file_type", _U32, 7),
    ("bert.block_count", _U32, 6),
    ("bert.context_length", _U32, 512),
    ("bert.embedding_length", _U32, 384),
    ("bert.feed_forward_length", _U32, 1536),
    ("bert.attention.head_count", _U32, 12),
    ("bert.attention.layer_norm_epsilon", _F32, 1e-12),
    ("bert.attention.causal", _BOOL, False),
    ("bert.pooling_type", _U32, 1),
    ("tokenizer.ggml.model", _STRING, "bert"),
    ("tokenizer.ggml.token_type_count", _U32, 2),
)
_SPECIAL: Final = {
    "[PAD]": ("padding",),
    "[UNK]": ("unknown",),
    "[CLS]": ("cls", "bos"),
    "[SEP]": ("seperator", "eos"),  # llama.cpp's spelling
    "[MASK]": ("mask",),
}
_NORMAL_TOKEN, _CONTROL_TOKEN = 1, 3
_EMBEDDINGS: Final = {
    "word_embeddings": "token_embd",
    "position_embeddings": "position_embd",
    "token_type_embeddings": "token_types",
    "LayerNorm": "token_embd_norm",
}
_LAYER: Final = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_KEPT_EXACT: Final = frozenset(("position_embd.weight", "token_types.weight"))
"""Matrices that are added, not multiplied with."""


class _Stored(Struct):
    """An entry of the safetensors header."""

    shape: list[int]
    data_offsets: tuple[int, int]


class _Tensor(Struct, frozen=True):
    name: str
    shape: list[int]
    is_quantized: bool
    values: Any
    """A memoryview of floats."""

    @property
    def size(self) -> int:
        count = len(self.values)
        return count // _BLOCK * _QUANTUM.size if self.is_quantized else count * 4


def write_gguf(weights: bytes, vocabulary: str, out: BinaryIO, on_progress: Callable[[float], None]) -> None:
    """Write the model to `out`. `on_progress` is called with the share that is done, 0.0 to 1.0.

    `weights` is `model.safetensors`, `vocabulary` is `vocab.txt`. Raises ValueError (msgspec's included) and KeyError
    when they are not this model's.
    """
    tensors = list(_read_tensors(weights))
    settings = [*_SETTINGS, *_tokenizer_settings(vocabulary.splitlines())]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(settings))
    head += b"".join(
        _render_string(key) + struct.pack("<I", kind) + _render(kind, value) for key, kind, value in settings
    )
    offset = 0
    for tensor in tensors:
        # GGUF counts dimensions from the innermost.
        dimensions = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *reversed(tensor.shape))
        head += _render_string(tensor.name) + dimensions
        head += struct.pack("<IQ", _Q8_0 if tensor.is_quantized else _PLAIN, offset)
        offset += tensor.size + _padding(tensor.size)
    out.write(head + bytes(_padding(len(head))))
    written = 0
    for tensor in tensors:
        out.write(_quantize(tensor.values) if tensor.is_quantized else tensor.values)
        out.write(bytes(_padding(tensor.size)))
        written += tensor.size + _padding(tensor.size)
        on_progress(written / offset)


def _read_tensors(weights: bytes) -> Iterator[_Tensor]:
    (length,) = struct.unpack_from("<Q", weights)
    header: Mapping[str, msgspec.Raw] = msgspec.json.decode(weights[8 : 8 + length], type=dict[str, msgspec.Raw])
    data = memoryview(weights)[8 + length :]
    for stored_name, raw in header.items():
        if stored_name in ("__metadata__", "embeddings.position_ids") or stored_name.startswith("pooler."):
            continue
        stored = msgspec.json.decode(raw, type=_Stored)
        start, end = stored.data_offsets
        name = _rename(stored_name)
        is_quantized = len(stored.shape) == 2 and name not in _KEPT_EXACT
        yield _Tensor(name, stored.shape, is_quantized, data[start:end].cast("f"))


def _rename(name: str) -> str:
    """`encoder.layer.0.attention.self.key.bias` → `blk.0.attn_k.bias`."""
    stem, _, suffix = name.rpartition(".")
    if stem.startswith("encoder.layer."):
        _, _, layer, part = stem.split(".", 3)
        return f"blk.{layer}.{_LAYER[part]}.{suffix}"
    return f"{_EMBEDDINGS[stem.removeprefix('embeddings.')]}.{suffix}"


def _quantize(values: memoryview[float]) -> bytes:
    """Q8_0: for every 32 values a half-precision scale and 32 signed bytes."""
    blocks = []
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK].tolist()
        largest = max(max(block), -min(block))
        factor = _LARGEST / largest if largest else 0.0
        blocks.append(_QUANTUM.pack(largest / _LARGEST, *[round(value * factor) for value in block]))
    return b"".join(blocks)


def _tokenizer_settings(words: list[str]) -> Iterator[tuple[str, int, Any]]:
    # llama.cpp marks the start of a word where BERT marks its continuation.
    tokens = [word if _is_control(word) else word[2:] if word.startswith("##") else "\u2581" + word for word in words]
    kinds = [_CONTROL_TOKEN if _is_control(word) else _NORMAL_TOKEN for word in words]
    count = len(words)
    yield "tokenizer.ggml.tokens", _ARRAY, struct.pack("<IQ", _STRING, count) + b"".join(map(_render_string, tokens))
    yield "tokenizer.ggml.token_type", _ARRAY, struct.pack(f"<IQ{count}i", _I32, count, *kinds)
    for word, roles in _SPECIAL.items():
        for role in roles:
            yield f"tokenizer.ggml.{role}_token_id", _U32, words.index(word)


def _is_control(word: str) -> bool:
    return word.startswith("[") and word.endswith("]") and len(word) > 2


def _render(kind: int, value: Any) -> bytes:
    match kind:
        case 4:
            return struct.pack("<I", value)
        case 6:
            return struct.pack("<f", value)
        case 7:
            return bytes([value])
        case 8:
            return _render_string(value)
        case _:
            return bytes(value)


def _render_string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padding(size: int) -> int:
    return -size % _ALIGNMENT
