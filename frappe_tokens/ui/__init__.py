"""What the admin and the users' own pages share: form fields, forms, times and programs to try."""

from .form_fields import (
    ExpiryField,
    MetadataField,
    NetworksField,
    RevokeForm,
    ScopesField,
)
from .moments import EXPIRING_DAYS, exact, relative_time
from .rotation_forms import GraceForm, RenewalForm, RotationForm
from .snippets import trial_of

__all__ = [
    "EXPIRING_DAYS",
    "ExpiryField",
    "GraceForm",
    "MetadataField",
    "NetworksField",
    "RenewalForm",
    "RevokeForm",
    "RotationForm",
    "ScopesField",
    "exact",
    "relative_time",
    "trial_of",
]
