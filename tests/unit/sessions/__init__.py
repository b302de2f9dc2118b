"""Tests of chalicelib/sessions."""
