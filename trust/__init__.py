"""Shows by attack that the app keeps its promises, and keeps the evidence in ``results.md``."""
