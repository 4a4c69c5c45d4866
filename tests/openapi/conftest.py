import pytest
from django.urls import path
from drf_spectacular.generators import SchemaGenerator


@pytest.fixture
def schema():
    """The example project's schema."""
    return SchemaGenerator().get_schema(public=True)


@pytest.fixture
def describe():
    """The schema of a project that has this view, or these, alone: at ``/0``, ``/1``..."""

    def describe(*views):
        patterns = [path(f"{place}", view.as_view()) for place, view in enumerate(views)]
        return SchemaGenerator(patterns=patterns).get_schema(public=True)

    return describe
