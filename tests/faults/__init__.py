"""Proof by fault: every entry of tests/corpus/faults.json, injected for real."""
