"""All that ships of wxgate besides app.py."""

__version__ = "0.2.0"
