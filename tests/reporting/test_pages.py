"""What all pages have in common."""

import jinja2
import pytest

from tf_lungreg.reporting.pages import render

VALUES = {"lead": "<lead>", "answer": [["R&D", "'a' < \"b\""]], "slices": "data:,", "map": "<map>"}


def test_values_are_escaped():
    page = render("patient", **VALUES)
    assert page.startswith("<!doctype html>\n<html")
    assert '<p class="muted">&lt;lead&gt;</p>' in page
    assert "<td>R&amp;D</td><td>&#39;a&#39; &lt; &#34;b&#34;</td>" in page
    assert "&lt;map&gt;." in page and "<map>" not in page


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="'map' is undefined"):
        render("patient", **{name: value for name, value in VALUES.items() if name != "map"})
