"""Fuzzing: the properties of the unit tests under a fuzzer (`python -m tests.fuzz`)."""
