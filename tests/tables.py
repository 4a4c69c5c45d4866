"""The migrations of the tests' own apps, which have no history to keep."""

from django.apps import apps
from django.db.migrations.operations import CreateModel
from django.db.migrations.state import ModelState


def create_models(app_label):
    """The operations that create the models of an app as they are now, in their order."""
    states = map(ModelState.from_model, apps.get_app_config(app_label).get_models())
    return [
        CreateModel(state.name, [*state.fields.items()], state.options, state.bases, state.managers)
        for state in states
    ]
