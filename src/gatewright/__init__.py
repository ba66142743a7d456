"""Gatewright: the open AI gateway with API management."""

__version__ = "0.1.0"
