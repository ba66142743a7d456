"""`gatewright init`: writes a commented configuration to start from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from gatewright.cli.exits import Exit, Failure
from gatewright.cli.output import print_line

_CHOICE: Final = re.compile(r"\[(openai|local)\]( +)(.*)")
"""A line of the starter that is active only with one of the two first providers."""
_STARTER: Final = """\
# Gatewright configuration.
#
#   gatewright check FILE       says everything that is wrong, with its line
#   gatewright serve -c FILE    runs it; `gatewright reload` applies a change without dropping a connection
#
# `gatewright schema > gatewright.schema.json` lets an editor complete and check this file:
# yaml-language-server: $schema=gatewright.schema.json

listen: 127.0.0.1:8080      # where applications call: http://127.0.0.1:8080/v1
admin: 127.0.0.1:8081       # /livez /readyz /metrics /admin; keep it private

# Vendors and runtimes. A key is a reference, never the key itself: ${env:NAME} or ${file:/path}.
providers:
[openai]  openai: {type: openai, key: "${env:OPENAI_API_KEY}"}
[local]  laptop: {type: local}      # the bundled small model: no key, no network; once: gatewright local pull
  # vllm:
  #   type: openai_compatible
  #   url: http://vllm.models.svc:8000/v1

# What applications call. A name stands for one or more targets, and moves between them without touching applications.
models:
  assistant:
    targets:
[openai]      - {provider: openai, model: gpt-4.1-mini}
[local]      - {provider: laptop, model: smollm2}
      # - {provider: vllm, model: meta-llama/Llama-3.1-8B-Instruct, weight: 3}      # three quarters of the traffic
    # fallback:                                   # tried when the chosen target fails before its first byte
    #   - {provider: laptop, model: smollm2}
[openai]  "gpt-*": {targets: [{provider: openai}]}    # the provider's own names, passed through

# Who may call. On a loopback address everyone may, until this is false; any other address needs it to be said.
# Keys are made while the gateway runs: gatewright keys create acme/search/indexer
# anonymous: false

# What each may use, in order; `acme/search/indexer` is an organisation, a team and an application.
# policies:
#   - filter: rate_limit
#     on: {consumers: ["acme/*"]}
#     config: {requests: 600, tokens: 200000, per: minute}
#   - filter: budget
#     name: monthly                              # what is spent is kept under this name
#     config: {usd: 100, per: month, by: organisation}

# Certificates, CORS, limits, time-outs and the access log have defaults; see the configuration reference.
"""


def render_starter(name: str, environment: Mapping[str, str]) -> str:
    """The text of a configuration that is right as it stands: OpenAI if its key is there, else the local model."""
    active = "openai" if environment.get("OPENAI_API_KEY") else "local"
    lines = []
    for line in _STARTER.replace("FILE", name).splitlines():
        marked = _CHOICE.fullmatch(line)
        if marked:
            choice, indent, text = marked.groups()
            line = indent + text if choice == active else f"{indent}# {text}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; `-` prints it.")] = Path(
        "gatewright.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write a commented configuration to start from.

    Examples:

        gatewright init
        gatewright init - | less
    """
    environment = os.environ  # noqa: TID251 - cli is the room that may read the environment
    if str(file) == "-":
        print_line(render_starter("gatewright.yaml", environment).rstrip("\n"))
        return
    try:
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(render_starter(str(file), environment))
    except FileExistsError:
        raise Failure(f"{file} exists", code=Exit.USAGE, hint="name another file, or replace it with --force") from None
    except OSError as error:
        raise Failure(f"cannot write {file}: {error.strerror}") from None
    print_line(f"wrote {file}")
    print_line(f"next:  gatewright check {file} && gatewright serve -c {file}")
