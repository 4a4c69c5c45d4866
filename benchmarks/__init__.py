"""Measures what authentication costs, compared with other packages: ``python -m benchmarks``."""
