"""Gatewright: the open AI gateway with API management."""

from gatewright.compiled import use_compiled

__version__ = "0.1.0"
IS_COMPILED = use_compiled()
"""Whether this process runs the data plane's modules as machine code."""
