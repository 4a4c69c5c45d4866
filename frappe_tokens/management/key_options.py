"""The options of ``generate_keys`` for what a key is called, and what it may do."""

from django.core.management.base import CommandParser

from .selection import duration, json_object


def add_key_options(parser: CommandParser) -> None:
    parser.add_argument(
        "--name", default="", help="Which of the user's keys. Default: the one without a name."
    )
    parser.add_argument("--read-only", action="store_true", help="Only GET, HEAD and OPTIONS.")
    parser.add_argument(
        "--scope", action="append", default=[], metavar="S", help="A scope. May be repeated."
    )
    parser.add_argument(
        "--allow-ip",
        action="append",
        default=[],
        metavar="CIDR",
        help="An address or network that the key may be used from. May be repeated.",
    )
    parser.add_argument(
        "--self-rotate",
        action="store_true",
        help="Requests with the key may replace its secret.",
    )
    parser.add_argument(
        "--description", default="", metavar="TEXT", help="For people: what the key is for."
    )
    parser.add_argument(
        "--metadata",
        type=json_object,
        default={},
        metavar="JSON",
        help="""For programs: an object such as '{"team": "ops"}'.""",
    )
    parser.add_argument(
        "--expires-in",
        type=duration,
        metavar="90d",
        help="When the key expires. Default: as before, or DEFAULT_LIFETIME for a new key.",
    )
    parser.add_argument(
        "--grace",
        type=duration,
        metavar="24h",
        help="How long the old secret keeps working. Default: ROTATION_GRACE.",
    )
