"""Shipped fakes: a clock that moves when told, a scripted upstream, a raw client, and a gateway process for tests.

They are what the gateway's own suites use, so an operator or a plug-in author can test against the same parts.
"""
