"""Tests that need sockets on loopback."""
