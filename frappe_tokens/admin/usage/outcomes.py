"""The outcomes of requests, as people read them."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ...exceptions import Reason
from ...models import ACCEPTED, OTHER

REFUSALS = tuple(reason.code for reason in Reason)

# In the order of the bars of a chart, from the bottom to the top.
LABELS: dict[str, str | Promise] = {
    ACCEPTED: _("Accepted"),
    OTHER: _("Other"),
    **{reason.code: reason.label for reason in Reason},
}


def label_of(outcome: str) -> str:
    """Return the label of ``outcome``. A code of another version is its own label."""
    return str(LABELS.get(outcome, outcome))


def slug_of(outcome: str) -> str:
    """Return the end of the class in ``usage.css`` that has the colour of ``outcome``."""
    return outcome.replace("_", "-")
