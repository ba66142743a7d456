"""Compiles the data plane's hottest modules with mypyc (mypyc.readthedocs.io): into a wheel, or into this checkout.

They stay ordinary Python, and run as such wherever they are not compiled; `gatewright.compiled` says when that is. Run
as a program it compiles into `src/gatewright/native/`, unless what is there is of these sources already.

A module may be here if it defines no msgspec `Struct` (mypyc drops the options of a class) and nothing outside this
list inherits from its classes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
SOURCES = ROOT / "src"
MODULES = (
    "core.cells",
    "core.counting",
    "core.exchange",
    "core.grant",
    "core.reply",
    "core.stages",
    "core.usage",
    "dialects.anthropic.stream_encoder",
    "dialects.openai.chat.stream_decoder",
    "dialects.openai.chat.stream_encoder",
    "dialects.openai.completions.answer",
    "dialects.openai.usage",
    "net.deadlines",
    "net.downstream",
    "net.pool",
    "net.rounds",
    "net.upstream",
    "pipeline.attempts",
    "pipeline.booking",
    "pipeline.chain",
    "pipeline.estimates",
    "pipeline.faults",
    "pipeline.identify",
    "pipeline.lifecycle",
    "pipeline.matching",
    "pipeline.missing_usage",
    "pipeline.plan",
    "pipeline.reserving",
    "pipeline.routes",
    "pipeline.snapshot",
    "pipeline.targets",
    "server.data_plane",
    "server.heads",
    "server.ledger",
    "server.relay",
    "server.routes",
    "store.holding",
    "store.journal",
    "store.memory",
    "store.shared",
    "telemetry.recorder",
    "telemetry.tally",
    "translate.framing",
    "translate.hub",
    "translate.identity",
    "translate.passing",
    "translate.sequence",
    "wire.http1",
    "wire.known_head",
    "wire.request",
    "wire.sse",
)
BUILD = """
import sys
from setuptools import setup
from mypyc.build import mypycify
target, options, files = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
shared = "gatewright_native"
modules = mypycify([*options, *files], opt_level="2", debug_level="0", group_name=shared, target_dir=target)
if sys.platform == "linux":
    # Nobody puts other functions in the place of these: calls need no detour, and what is small may be inlined.
    for module in modules:
        module.extra_compile_args += ["-fno-semantic-interposition", "-fno-plt"]
setup(name="gatewright", packages=[], ext_modules=modules,
      script_args=["--quiet", "build_ext", "--build-lib", target + "/lib", "--build-temp", target + "/temp"])
"""


def missing() -> str:
    """What this machine lacks to compile with; empty when nothing."""
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        return "Python's headers (on Debian: apt-get install python3-dev)"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    return "" if shutil.which(compiler) else f"the C compiler {compiler}"


def compile_modules() -> Path:
    """Compile, and put the results with their manifest in place; gives the folder. Raises SystemExit."""
    sys.path.insert(0, str(SOURCES))
    from gatewright import compiled

    names = [f"gatewright.{module}" for module in MODULES]
    digests = {name: compiled.digest_of(name) for name in names}
    with tempfile.TemporaryDirectory() as target:
        files = [str(compiled.source_of(name).relative_to(SOURCES)) for name in names]
        options = f"--config-file={ROOT / 'pyproject.toml'} --cache-dir={target}/cache"
        argv = [sys.executable, "-c", BUILD, target, options, *files]
        done = subprocess.run(argv, cwd=SOURCES, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"the data plane cannot be compiled:\n{done.stdout}{done.stderr}")
        built = Path(target, "lib")
        shutil.rmtree(compiled.NATIVE, ignore_errors=True)
        compiled.NATIVE.mkdir()
        for file in built.rglob("*.so"):
            module = ".".join(file.relative_to(built).with_suffix("").with_suffix("").parts)
            shutil.copy(file, compiled.native_file(module))
    compiled.MANIFEST.write_bytes(compiled.render_manifest(digests))
    return compiled.NATIVE


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles for a wheel; one that is built where that cannot be has the sources alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
        if lacks := missing():
            self.app.display_warning(f"not compiled: {lacks} is missing; it will be slower")
            return
        folder = compile_modules()
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"][str(folder)] = "gatewright/native"


def main() -> int:
    """Compile into the checkout, if need be and possible."""
    sys.path.insert(0, str(SOURCES))
    from gatewright import compiled

    if compiled.find_compiled().keys() == {compiled.LIBRARY, *(f"gatewright.{module}" for module in MODULES)}:
        return 0
    if lacks := missing():
        print(f"setup: not compiled, for {lacks} is missing; everything works, but slower")
        return 0
    print("setup: compiling the data plane (about a minute)")
    compile_modules()
    return 0


if __name__ == "__main__":
    sys.exit(main())
