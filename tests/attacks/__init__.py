"""Proof by attack: every entry of tests/corpus/attacks.json against the unmodified app."""

import pytest

pytest.register_assert_rewrite("tests.attacks.invariants", "tests.attacks.expectations")
