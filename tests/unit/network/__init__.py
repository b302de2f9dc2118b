"""Tests of chalicelib/network."""
