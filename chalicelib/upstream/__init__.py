"""The business API behind the gate."""
