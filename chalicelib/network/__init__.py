"""Connections, addresses and secrets: what every service stands on."""
