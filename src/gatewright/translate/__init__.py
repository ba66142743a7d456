"""Between the client's dialect and the upstream's: untouched where they are the same, through the hub where not."""
