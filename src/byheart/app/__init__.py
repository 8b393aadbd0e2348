"""The ways in besides Python: command line, HTTP server, generated documents."""
