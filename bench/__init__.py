"""The benchmark: Gatewright beside bare reverse proxies and its peers, on one pinned core. `python -m bench --help`."""
