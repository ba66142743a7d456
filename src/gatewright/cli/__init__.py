"""The `gatewright` command: the only room that reads files, the environment and the command line."""
