"""The tests' own tables, by migrations without a history to keep, and tables that are missing."""

from contextlib import contextmanager

from django.apps import apps
from django.db import connection
from django.db.migrations.operations import CreateModel
from django.db.migrations.state import ModelState


def create_models(app_label):
    """The operations that create the models of an app as they are now, in their order."""
    states = map(ModelState.from_model, apps.get_app_config(app_label).get_models())
    return [
        CreateModel(state.name, [*state.fields.items()], state.options, state.bases, state.managers)
        for state in states
    ]


@contextmanager
def gone(table, column=None):
    """The table, or a column of it, has another name."""

    def rename(old, new):
        what = f"{table} RENAME COLUMN {old}" if column else f"{old} RENAME"
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {what} TO {new}")

    rename(column or table, "gone")
    try:
        yield
    finally:
        rename("gone", column or table)
