"""Tests of chalicelib/upstream."""
