"""Metrics, traces and logs: what workers record, how it travels to the control process, and every name it is given."""
