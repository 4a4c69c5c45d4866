"""Measures what authentication costs, beside other packages: ``python -m benchmarks``."""
