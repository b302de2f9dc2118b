"""Tests of what goes to AWS: the template, the policies, the package, the commands."""
