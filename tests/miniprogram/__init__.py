"""The client library and its demo, under Node."""
