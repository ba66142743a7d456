"""The control plane: the admin listener, metrics, the access log, and reading the configuration again.

One process beside the workers. They never wait for it: when it is gone they serve on, and what they record waits in a
socket until it is back.
"""
