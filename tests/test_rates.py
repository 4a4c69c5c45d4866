import pytest

from frappe_tokens.rates import Rate, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(10, 1)),
        ("100/minute", Rate(100, 60)),
        ("100/min", Rate(100, 60)),
        ("5/hour", Rate(5, 3600)),
        ("0/day", Rate(0, 86_400)),
        ("999999999/d", Rate(999_999_999, 86_400)),
    ],
)
def test_reads_rates_as_drf_writes_them(text, rate):
    assert parse_rate(text) == rate


NO_RATES = ["", "/", "10", "10/", "/minute", "-1/minute", "1.5/s", "\u0661/s", "10/year", " 1/s"]


@pytest.mark.parametrize("text", [*NO_RATES, "1/s 2", "1/m\x1b]0;x\x07"])
def test_refuses_what_is_no_rate(text):
    with pytest.raises(ValueError, match="for example 100/minute"):
        parse_rate(text)


def test_refuses_a_number_out_of_all_proportion():
    with pytest.raises(ValueError, match="too large"):
        parse_rate("9" * 10 + "/s")
