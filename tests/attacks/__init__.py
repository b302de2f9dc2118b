"""Proof by attack: every entry of tests/corpus/attacks.json against the unmodified app."""
