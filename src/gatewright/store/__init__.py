"""Adapters for the ports of `core`: where counters, records and caches are kept."""
