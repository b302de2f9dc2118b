"""Tests of chalicelib/front."""
