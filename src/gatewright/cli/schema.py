"""`gatewright schema`: the JSON Schema of the configuration."""

from __future__ import annotations

from gatewright.cli.output import print_json
from gatewright.config.schema import json_schema
from gatewright.filters import FILTERS
from gatewright.providers import PROVIDERS


def schema() -> None:
    """Print the JSON Schema of the configuration, from which editors complete and check it.

    A comment on the first line of a YAML file points editors to it:
    `# yaml-language-server: $schema=gatewright.schema.json`

    Example:

        gatewright schema > gatewright.schema.json
    """
    print_json(
        json_schema({kind.name: kind.config for kind in PROVIDERS}, {kind.name: kind.config for kind in FILTERS})
    )
