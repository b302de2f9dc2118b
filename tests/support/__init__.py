"""Fakes, engines and servers that several tests share."""
