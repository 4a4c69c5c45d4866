"""What authenticating costs, side by side with the peers: ``python -m benchmarks``."""
