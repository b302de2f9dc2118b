"""Speed and memory, measured apart from the tests."""
