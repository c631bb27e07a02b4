"""One module per command: parameters, read, call, write."""
