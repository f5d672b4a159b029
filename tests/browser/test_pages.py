"""What holds for every page: it fits, it can be read, it asks for nothing, and it prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pages import PAGES

if TYPE_CHECKING:
    from conftest import Visit

LOOKING = (Path(__file__).parent / "looking.js").read_text(encoding="utf-8")
WIDTHS = (375, 1440)
UNFOLD = "document.querySelectorAll('details').forEach((each) => { each.open = true })"


def overflow(page: Any) -> int:
    """Return by how many pixels the page is wider than the window."""
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    return int(widths[0]) - int(widths[1])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_sticks_out_and_every_word_stands_out(
    visit: Visit, name: str, scheme: str, width: int
) -> None:
    page = visit.show(name, width, scheme)
    assert overflow(page) == 0
    page.evaluate(UNFOLD)
    assert overflow(page) == 0
    seen = page.evaluate(LOOKING)
    assert len(seen) > 100
    assert [each for each in seen if each[0] < 4.5] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_check_sees_what_sticks_out_and_what_is_pale(visit: Visit, width: int) -> None:
    for change in ('<div style="width:2000px">wide</div>', '<p style="color:#8884">pale</p>'):
        page = visit.show("changed", width, html=PAGES["report"]().replace("</main>", f"{change}</main>"))
        pale = [words for contrast, words, _ in page.evaluate(LOOKING) if contrast < 4.5]
        assert (overflow(page) > 0) == ("wide" in change)
        assert pale == (["pale"] if "pale" in change else [])


def test_the_check_sees_errors_and_requests(visit: Visit) -> None:
    fault = '<script>console.log("hello"); missing()</script><img src="https://example.org/x.png" alt="">'
    visit.show("faulty", html=PAGES["report"]().replace("</main>", f"{fault}</main>"))
    kinds = {said.partition(":")[0] for said in visit.said}
    visit.said.clear()
    assert kinds == {"console", "error", "request"}


@pytest.mark.parametrize("name", PAGES)
def test_figures_can_be_read_on_a_phone(visit: Visit, name: str) -> None:
    page = visit.show(name, 375)
    page.evaluate(UNFOLD)
    heights = page.evaluate(
        "[...document.querySelectorAll('svg text')].filter((each) => each.checkVisibility())"
        ".map((each) => parseFloat(getComputedStyle(each).fontSize) * each.getScreenCTM().d)"
    )
    assert heights
    assert min(heights) >= (10 if "report" in name else 9)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_prints(visit: Visit, name: str) -> None:
    page = visit.show(name)
    pdf = page.pdf()
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 2


@pytest.mark.parametrize("name", PAGES)
def test_wide_parts_scroll_by_themselves_and_can_be_reached(visit: Visit, name: str) -> None:
    page = visit.show(name, 375)
    page.evaluate(UNFOLD)
    inner = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter((each) => each.scrollWidth > each.clientWidth)"
        ".map((each) => [each.tabIndex, each.getAttribute('role'), each.hasAttribute('aria-label')"
        " || each.hasAttribute('aria-labelledby')])"
    )
    assert inner
    assert all(each == [0, "region", True] for each in inner)
