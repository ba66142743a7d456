"""The vocabulary every other room speaks: errors, secrets, usage, exchanges, ports. No I/O, no other room."""
