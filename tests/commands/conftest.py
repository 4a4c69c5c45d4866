import pytest


@pytest.fixture
def narrow_terminal(monkeypatch):
    """A terminal of 20 columns, which a progress bar fills."""
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "24")
