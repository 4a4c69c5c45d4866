import pytest
from django.urls import path
from drf_spectacular.generators import SchemaGenerator


@pytest.fixture
def schema():
    """The example project's schema."""
    return SchemaGenerator().get_schema(public=True)


@pytest.fixture
def validate_schema():
    """Raises if a schema isn't valid."""
    # Here, because the import takes two seconds, and most runs collect the tests without using it.
    from drf_spectacular.validation import validate_schema

    return validate_schema


@pytest.fixture
def describe():
    """The schema of a project that has this view, or these, alone: at ``/0``, ``/1``..."""

    def describe(*views):
        patterns = [path(f"{place}", view.as_view()) for place, view in enumerate(views)]
        return SchemaGenerator(patterns=patterns).get_schema(public=True)

    return describe
