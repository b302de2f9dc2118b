"""All that ships of wxgate besides app.py."""

__version__ = "0.1.0"
