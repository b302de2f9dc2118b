"""Load on the desk, by many users who check every answer: `make load`."""
