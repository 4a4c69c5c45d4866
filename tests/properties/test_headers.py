"""The Authorization header: what is read is what was sent, and nothing else."""

from hypothesis import example, given
from hypothesis import strategies as st

from frappe_tokens.credentials import parse

from .made import (
    FRAPPE,
    GENERATED,
    IMPORTED,
    LATIN_1,
    SCHEMES,
    encode,
    value_of,
)

SPACES = st.text(" \t", max_size=3)
KEY = "ftk_0123456789abcdef"
SECRET = "fts_" + "a" * 43 + "0ajsPg"


def assert_says(header, parsed):
    """Assert that ``parsed`` is in ``header`` as it is, or nothing is.

    Read without the parser's own code.
    """
    pair = f"{parsed.api_key}:{parsed.api_secret}"
    assert bool(parsed.well_formed) == (pair != ":")
    assert not (parsed.well_formed and parsed.access_token)
    if not (parsed.well_formed or parsed.access_token):
        return
    scheme, _, value = header.replace("\t", " ").strip(" ").partition(" ")
    assert scheme.lower() == parsed.scheme
    if parsed.access_token:
        assert (parsed.scheme, value.strip(" ")) == ("bearer", parsed.access_token)
    else:
        assert pair.isascii()
        assert pair.isprintable()
        assert " " not in pair
        assert ":" not in parsed.api_key
        assert value.strip(" ") == value_of(scheme, parsed.api_key, parsed.api_secret)


@given(
    *(GENERATED | FRAPPE | IMPORTED, st.sampled_from(SCHEMES), st.sets(st.integers(0, 5))),
    *(SPACES, SPACES.filter(bool), SPACES),
)
def test_pair_is_read_whatever_the_case_and_the_spaces(
    pair, scheme, capitals, before, between, after
):
    spelt = "".join(c.upper() if i in capitals else c for i, c in enumerate(scheme))

    parsed = parse(f"{before}{spelt}{between}{value_of(scheme, *pair)}{after}", *SCHEMES)

    assert (parsed.scheme, parsed.api_key, parsed.api_secret) == (scheme, *pair)
    assert parsed.well_formed
    assert parsed.mistake is None
    # An API key is shown, and a made-up secret may be a part of it.
    assert pair[1] not in repr(parsed).replace(pair[0], "") or len(pair[1]) < 8


# Not all that Python calls spaces, and no control character.
OTHERS = st.characters(categories=["Zs", "Zl", "Zp", "Cc"], exclude_characters=" \t")


@given(
    *(GENERATED | FRAPPE | IMPORTED, st.sampled_from(SCHEMES), OTHERS, SPACES),
    st.sampled_from(["{0}{2}{3}{1}", "{0} {3}{2}{1}", "{0} {1}{2}{3}", "{0} {1}{3}{2}"]),
)
def test_nothing_but_spaces_and_tabs_is_trimmed(pair, scheme, other, spaces, form):
    header = form.format(scheme, value_of(scheme, *pair), other, spaces)

    assert not parse(header, *SCHEMES).well_formed


PIECES = [
    KEY,
    SECRET,
    f"{KEY}:{SECRET}",
    "0a1b2c3d4e5f607:fedcba987654321",
    ":",
    "::",
    "=",
    " ",
    "\t",
]
PIECES += [encode(f"{KEY}:{SECRET}"), encode("a:b"), encode(":"), encode("a:\xff"), "\0", "\xa0"]
PIECES += ["x" * 260, "ftk_", "fts_", "Basic ", "token ", "Bearer ", "\ud800", "\u0130", "\u212a"]
TEXTS = st.lists(st.sampled_from(PIECES) | LATIN_1, max_size=6).map("".join)


@example(f"token  {KEY}:{SECRET}\t")
@example(f"Basic {encode('a:b')}=")
@example("Bearer " + "a" * 4096)
@given(
    TEXTS
    | st.builds("{} {}".format, st.sampled_from(SCHEMES), TEXTS)
    | st.builds(
        "{} {}".format,
        st.just("basic"),
        st.binary(max_size=9).map(lambda b: encode(b.decode("latin-1"))),
    )
)
def test_what_is_read_stands_in_the_header(header):
    parsed = parse(header, *SCHEMES)

    if parsed is not None:
        assert_says(header, parsed)


@given(GENERATED, GENERATED, st.data(), st.tuples(*[st.sampled_from(SCHEMES)] * 2))
def test_damaged_header_has_no_other_secret(one, other, data, schemes):
    """Cut, with something put in or taken out, or the beginning of one and the end of another."""
    first, last = (
        f"{scheme} {value_of(scheme, *pair)}"
        for scheme, pair in zip(schemes, (one, other), strict=True)
    )
    cut = data.draw(st.integers(0, len(first)))
    begin = data.draw(st.integers(cut - 2, cut + 2) | st.integers(0, len(last)))
    damaged = first[:cut] + data.draw(st.text(LATIN_1, max_size=2)) + last[max(begin, 0) :]

    parsed = parse(damaged, *SCHEMES)

    if parsed is not None and parsed.api_secret.startswith("fts_"):
        assert parsed.api_secret in (one[1], other[1])
    for secret in (one[1], other[1]):
        # API keys are logged.
        assert parsed is None or secret[4:-6] not in parsed.api_key
