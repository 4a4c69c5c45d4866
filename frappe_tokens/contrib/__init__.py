"""Integrations of other packages."""
