"""The secrets of several keys, as a file to download."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable

from django.views.decorators.debug import sensitive_variables

from ..base_models import AbstractApiKey
from ..crypto import Secret
from ..keys import GeneratedKeys
from ..redaction import spreadsheet_safe


@sensitive_variables()
def csv_link(generated: Iterable[tuple[object, GeneratedKeys]]) -> Secret:
    """Return a data URL of the CSV file: the server doesn't have to store it for the download."""
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
    content = base64.b64encode(text.getvalue().encode()).decode()
    # A Secret, because a template's error page prints the context.
    return Secret(f"data:text/csv;charset=utf-8;base64,{content}")
