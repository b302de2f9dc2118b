"""What answers in seconds: no engine, no socket, no Node; mirrors chalicelib."""
