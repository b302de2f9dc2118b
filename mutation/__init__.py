"""Mutation testing: change the security modules a little, and see whether a test notices."""
