"""Sockets: the server clients reach, the pools upstreams are reached through, and the clockwork both need."""
