"""The modules of the data plane as machine code, where they were compiled from exactly the sources beside them.

`hatch_build.py` has mypyc compile them into `native/`, together with `manifest.json`: the SHA-256 of every source. An
installed package has both from its wheel; a checkout gets them by `make compiled`. When a source has changed since, or
nothing was compiled, the sources themselves are run: slower, and otherwise the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

import msgspec

FOLDER: Final = Path(__file__).parent
NATIVE: Final = FOLDER / "native"
MANIFEST: Final = NATIVE / "manifest.json"
LIBRARY: Final = "gatewright_native__mypyc"
"""The module that holds the code of all others, which only point into it."""
SWITCH: Final = "GATEWRIGHT_INTERPRETED"
"""Set to anything, in the environment of a process, it has the sources run."""


def source_of(module: str) -> Path:
    """The file of a module of this package."""
    return FOLDER.joinpath(*module.split(".")[1:]).with_suffix(".py")


def digest_of(module: str) -> str:
    """What tells that a source is the one that was compiled."""
    return sha256(source_of(module).read_bytes()).hexdigest()


def native_file(module: str) -> Path:
    """Where the machine code of a module is for the interpreter that asks."""
    return NATIVE / (module + EXTENSION_SUFFIXES[0])


def render_manifest(digests: dict[str, str]) -> bytes:
    """What is written beside machine code that was compiled from sources with these digests."""
    return msgspec.json.encode(digests)


def find_compiled() -> dict[str, str]:
    """Modules and their files, if the code of all of them is there and of these sources; else none."""
    try:
        digests: dict[str, str] = msgspec.json.decode(MANIFEST.read_bytes(), type=dict[str, str])
        if any(digest_of(module) != digest for module, digest in digests.items()):
            return {}
    except (OSError, msgspec.MsgspecError):
        return {}
    files = {module: str(native_file(module)) for module in (*digests, LIBRARY)}
    return files if all(map(os.path.exists, files.values())) else {}


class _Finder(MetaPathFinder):
    def __init__(self, files: dict[str, str]) -> None:
        self._files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self._files.get(fullname)
        return None if file is None else spec_from_file_location(fullname, loader=ExtensionFileLoader(fullname, file))


def use_compiled() -> bool:
    """Have this process import the machine code, if it may; whether it does. Before any other module is imported."""
    if os.environ.get(SWITCH):  # noqa: TID251 - nothing that could be told is imported yet
        return False
    files = find_compiled()
    if files:
        sys.meta_path.insert(0, _Finder(files))
    return bool(files)
