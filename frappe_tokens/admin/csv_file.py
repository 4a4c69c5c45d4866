"""The secrets of several keys, as a file to download."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.views.decorators.debug import sensitive_variables

from ..base_models import AbstractApiKey
from ..crypto import Secret
from ..keys import GeneratedKeys
from ..redaction import spreadsheet_safe


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file whose ``link`` has its content, so that the server doesn't have to store it.

    No string, because Sentry's traces have the strings of a template's context.
    """

    link: Secret = field(repr=False)


@sensitive_variables()
def csv_file(generated: Iterable[tuple[object, GeneratedKeys]]) -> CsvFile:
    """Return the CSV file of the secrets, each beside its user and its object."""
    rows = []
    for subject, keys in generated:
        row = {"user": spreadsheet_safe(keys.instance.user.get_username())}
        if isinstance(subject, AbstractApiKey):
            row = {str(subject._meta.model_name): spreadsheet_safe(str(subject)), **row}
        rows.append({**row, "api_key": keys.api_key, "api_secret": keys.api_secret})
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    content = Secret(base64.b64encode(text.getvalue().encode()).decode())
    return CsvFile(Secret(f"data:text/csv;charset=utf-8;base64,{content}"))
