"""The front door: API Gateway events in, answers in the gate's shape out."""
