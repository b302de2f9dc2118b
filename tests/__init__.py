"""The tests of wxgate: one file per module, same name."""
