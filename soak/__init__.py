"""A soak: mixed traffic of many users for minutes, every answer checked against its user."""
