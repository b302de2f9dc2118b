"""Fuzzing: the properties of the unit tests under a fuzzer (`make fuzz`)."""
