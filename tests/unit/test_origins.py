"""Which origins a pattern means, and what is shown of the header fields that are for them."""

from __future__ import annotations

import pytest

from crawlfleet.shared.brief import SiteSpec
from crawlfleet.shared.web.origins import fits


@pytest.mark.parametrize(
    ("origin", "pattern", "fit"),
    [
        ("https://a.example", "https://a.example", True),
        ("http://a.example", "https://a.example", False),
        ("https://a.example:444", "https://a.example", False),
        ("https://b.a.example", "https://*.a.example", True),
        ("https://c.b.a.example", "https://*.a.example", True),
        ("https://a.example", "https://*.a.example", False),
        ("https://ba.example", "https://*.a.example", False),
        ("http://b.a.example", "https://*.a.example", False),
        ("https://b.a.example:444", "https://*.a.example", False),
        ("https://b.a.example:444", "https://*.a.example:444", True),
    ],
)
def test_an_origin_fits_by_scheme_host_and_port(origin: str, pattern: str, fit: bool) -> None:
    assert fits(origin, pattern) is fit


def test_a_spec_of_a_site_shows_the_names_of_its_fields_alone() -> None:
    spec = SiteSpec(origins=("https://a.example",), headers=(("Cookie", "hunter2"),))
    assert repr(spec) == "SiteSpec(origins=('https://a.example',), headers=['Cookie'])"
