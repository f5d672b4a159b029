"""The pages: what they say, what they escape, and where a strip's marks lie."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from tiny_recipe import CHARTS, Tiny, claim

from actdiag.recipes.base import Accepted
from actdiag.recipes.running import reproduce
from actdiag.reporters.number_lines import accepted, expected, measured, strip
from actdiag.reporters.reproductions import index_files, power, recipe_files, tally

NASTY = "</style><script>alert(1)</script> & [x](y) `*_|"


def facts(**changes: Any) -> dict[str, Any]:
    """Return the facts of a claim about values of mean 0.5 and interval 0.25 to 0.75."""
    (one,) = reproduce(Tiny()).facts["claims"]
    return {**one, "interval": [0.25, 0.75], **changes}


def page(recipe: Tiny) -> str:
    return recipe_files(reproduce(recipe).facts, (CHARTS,))["report.html"].decode()


def test_a_page_says_all_of_a_claim() -> None:
    text = page(Tiny())
    for words in (
        *("the says", "the where", "the published", "the statistic", "the reason", "the theory"),
        *("A tiny recipe", "It shows nothing.", "Nobody &amp; Noone (1999)", "It is not real."),
        *("Reproduced", "1 of 1 claims reproduced", "3 draws", "actdiag reproduce tiny --size small"),
        *('alt="It rises."', "0 to 1", "0.252", "0.748"),
    ):
        assert words in text, words
    assert "Nobody knows." not in text


def test_a_claim_that_fails_is_explained() -> None:
    text = page(Tiny(values=(3.0, 3.1)))
    assert "Not reproduced" in text
    assert "Nobody knows." in text


def test_the_pictures_are_in_the_page_for_light_and_dark() -> None:
    files = recipe_files(reproduce(Tiny()).facts, (CHARTS,))
    pictures = re.findall(r"base64,([A-Za-z0-9+/=]+)", files["report.html"].decode())
    dark, light = map(base64.b64decode, pictures)
    assert light == files["figure.png"]
    assert dark != light
    assert "<script" not in files["report.html"].decode()


def test_a_page_asks_for_nothing_outside() -> None:
    text = page(Tiny())
    links = set(re.findall(r'(?:href|src|srcset)="([^"]*)"', text))
    assert {link for link in links if not link.startswith("data:")} == {"../index.html", "claims.json"}
    assert "url(" not in text
    assert "@import" not in text


def test_html_and_markdown_in_words_are_words() -> None:
    nasty = Tiny(
        title=NASTY,
        summary=NASTY,
        limits=(NASTY,),
        claimed=(claim(says=NASTY, published=NASTY, reason=NASTY),),
    )
    reproduction = reproduce(nasty)
    index = index_files([reproduction.facts])
    for text in (page(nasty), index["index.html"].decode()):
        assert "<script" not in text
        assert "&lt;script&gt;" in text
    readme = index["README.md"].decode()
    assert "<script" not in readme.replace("\\<", "")
    assert "[x](y)" not in readme.replace("\\[", "")


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (["reproduced"], "1 of 1 claims reproduced"),
        (["not reproduced", "reproduced", "not reproduced"], "1 of 3 claims reproduced, 2 not reproduced"),
        (
            ["inconclusive", "not reproduced"],
            "0 of 2 claims reproduced, 1 not reproduced, 1 inconclusive",
        ),
    ],
)
def test_the_tally_counts(outcomes: list[str], words: str) -> None:
    assert tally({"claims": [{"outcome": outcome} for outcome in outcomes]}) == words


def test_the_power_is_told_of_what_is_undecided_alone() -> None:
    assert power(facts()) == ""
    open_ = {"outcome": "inconclusive"}
    assert "40 draws decide with a chance of 80%; 3 were made" in power(facts(**open_, needed=40))
    assert "no usual number of draws" in power(facts(**open_))
    assert "no finite number" in power(facts(**open_, mean=None))


@pytest.mark.parametrize(
    ("ends", "words"),
    [([0.5, None], "above 0.5"), ([None, 1e-7], "below 1e-7"), ([-1.0, 1.0], "-1 to 1")],
)
def test_accepted_values_are_spelled(ends: list[float | None], words: str) -> None:
    assert accepted({"accepted": ends}) == words


def test_a_narrow_interval_is_spelled_with_more_digits() -> None:
    assert measured(facts()) == "0.5 (0.25 to 0.75)"
    narrow = facts(mean=0.213451, interval=[0.21331, 0.213592], expected=0.2135464)
    assert (measured(narrow), expected(narrow)) == ("0.21345 (0.21331 to 0.21359)", "0.21355")
    assert measured(facts(mean=None)) == "no finite number"


def numbers(pattern: str, text: str) -> list[float]:
    found = re.search(pattern, text)
    assert found is not None, text
    return [float(number) for number in found.groups()]


def test_a_strip_puts_everything_on_one_line() -> None:
    # The line reaches from 0 at 12 to 1 at 308: x = 12 + 296 value.
    text = strip(facts())
    assert numbers(r'<rect class="accepted" x="([\d.]+)" y="9" width="([\d.]+)"', text) == [12, 296]
    assert numbers(r'class="expected" d="M([\d.]+) ', text) == [160]
    assert numbers(r'class="measured" d="M([\d.]+) 20H([\d.]+)"', text) == [86, 234]
    assert numbers(r'class="mean" cx="([\d.]+)"', text) == [160]
    assert 'aria-label="accepted 0 to 1; measured 0.5 (0.25 to 0.75)"' in text


def test_a_strip_of_logarithms_is_even_in_ratios() -> None:
    text = strip(facts(scale="log", accepted=[0.01, None], interval=[0.1, 1.0], mean=0.1, expected=None))
    assert numbers(r'class="mean" cx="([\d.]+)"', text) == [160]
    assert numbers(r'<rect class="accepted" x="([\d.]+)" y="9" width="([\d.]+)"', text) == [12, 308]
    assert "expected" not in text


def test_a_strip_of_nothing_is_nothing() -> None:
    assert strip(facts(mean=None)) == ""


def test_an_open_end_reaches_to_the_edge() -> None:
    text = strip(facts(accepted=[None, 1.0]))
    assert numbers(r'<rect class="accepted" x="([\d.]+)" y="9" width="([\d.]+)"', text) == [0, 308]


def test_claims_above_one_point_have_no_width_to_divide_by() -> None:
    point = facts(accepted=[0.5, None], interval=[0.5, 0.5], expected=None)
    assert numbers(r'class="mean" cx="([\d.]+)"', strip(point)) == [160]


def test_accepted_values_of_a_claim_reach_the_page() -> None:
    text = page(Tiny(claimed=(claim(accepted=Accepted(low=0.125)),)))
    assert "above 0.125: the reason" in text
