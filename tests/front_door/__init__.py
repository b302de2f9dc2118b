"""The unmodified app behind API Gateway's events, on the simulator."""
