"""Neither package is required."""

import runpy
import sys

import pytest


def test_error_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ninja", None)
    monkeypatch.delitem(sys.modules, "frappe_tokens.contrib.ninja", raising=False)
    with pytest.raises(ImportError, match="pip install django-ninja"):
        runpy.run_module("frappe_tokens.contrib.ninja")


def test_channels_is_not_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "channels", None)
    monkeypatch.delitem(sys.modules, "frappe_tokens.contrib.channels", raising=False)
    assert "TokenAuthMiddleware" in runpy.run_module("frappe_tokens.contrib.channels")
