"""A comparison's page in use: sort, filter, open a network, go back; and without JavaScript."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Visit

FOCUS = "document.activeElement.closest('details.single')?.querySelector('.body').id"


def column(page: Any, place: int) -> list[str]:
    """Return what stands in a column of the ranking, of the rows that are seen."""
    cells = page.evaluate(
        "(place) => [...document.querySelectorAll('#ranked tbody tr')].filter((row) => !row.hidden)"
        ".map((row) => row.cells[place].textContent.trim())",
        place,
    )
    return [str(cell) for cell in cells]


def heading(page: Any, name: str) -> Any:
    return page.locator("#ranked thead").get_by_role("button", name=name)


def number(text: str) -> float:
    return float(text.replace("\u00d7", "")) if text != "\u2013" else float("inf")


@pytest.mark.parametrize(
    ("name", "place", "key"),
    [
        ("#", 0, int),
        ("activation", 1, str),
        ("initializer", 2, str),
        ("setting", 3, lambda text: int(text.split()[-1])),
        ("verdict", 4, "\u2713!\u2715?\u2205".index),
        ("rms up", 5, number),
        ("std_across up", 6, number),
        ("gradient down", 7, number),
    ],
)
@pytest.mark.parametrize("by_key", [False, True])
def test_every_column_sorts_both_ways(visit: Visit, name: str, place: int, key: Any, by_key: bool) -> None:
    page = visit.show("comparison")
    button = heading(page, name)

    def press() -> list[Any]:
        button.press("Enter") if by_key else button.click()
        cells = column(page, place)
        known = [cell[0] if name == "verdict" else cell for cell in cells if cell != "\u2013"]
        assert all(cell == "\u2013" for cell in cells[len(known) :])  # what is not known stays last
        return [key(cell) for cell in known]

    first, second = press(), press()
    assert len(set(first)) > 1
    ways = ("descending", "ascending") if name == "#" else ("ascending", "descending")
    assert first == sorted(first, reverse=ways[0] == "descending")
    assert second == sorted(second, reverse=ways[1] == "descending")
    heads = page.locator("#ranked thead th[aria-sort]")
    assert heads.count() == 1
    assert heads.first.get_attribute("aria-sort") == ways[1]


def test_reasons_sort_as_text(visit: Visit) -> None:
    page = visit.show("comparison")
    heading(page, "why").click()
    reasons = column(page, 8)
    assert reasons[0].startswith("Dull")
    assert reasons[-1].startswith("ValueError")


def test_words_filter_and_the_number_of_rows_is_announced(visit: Visit) -> None:
    page = visit.show("comparison")
    count = page.locator("#count")
    assert count.get_attribute("aria-live") == "polite"
    assert count.text_content() == "13 of 13 networks"
    page.locator("#search").fill("RELU depth 12")
    assert column(page, 1) == ["relu"] * 3
    assert column(page, 3) == ["depth 12"] * 3
    assert count.text_content() == "3 of 13 networks"
    page.locator("#search").fill("")
    assert len(column(page, 1)) == 13


def test_verdicts_filter(visit: Visit) -> None:
    page = visit.show("comparison")
    total = len(column(page, 4))
    controls = page.locator("#controls")
    controls.get_by_label("healthy").uncheck()
    left = column(page, 4)
    assert 0 < len(left) < total
    assert not any("healthy" in cell for cell in left)
    controls.get_by_label("could not be run").uncheck()
    assert not any("could not" in cell for cell in column(page, 4))
    controls.get_by_label("healthy").check()
    assert len(column(page, 4)) == total - 1


@pytest.mark.parametrize("place", [".matrix td a", "#ranked tbody a", ".strips .row > a", ".names a"])
@pytest.mark.parametrize("by_key", [False, True])
def test_a_link_opens_its_network_and_back_returns(visit: Visit, place: str, by_key: bool) -> None:
    page = visit.show("comparison")
    link = page.locator(place).nth(2)
    target = str(link.get_attribute("href")).removeprefix("#")
    fold = page.locator(f"details.single:has(#{target})")
    assert fold.get_attribute("open") is None
    link.press("Enter") if by_key else link.click()
    page.wait_for_function(f"{FOCUS} === '{target}'")
    assert fold.get_attribute("open") is not None
    assert fold.locator("summary").is_visible()
    box = fold.locator("summary").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 900
    page.go_back()
    page.wait_for_function("document.activeElement.matches('a')")
    assert link.evaluate("(each) => each === document.activeElement")


def test_an_address_with_a_network_opens_it(visit: Visit) -> None:
    page = visit.show("comparison")
    address = page.url
    page.goto("about:blank")
    page.goto(f"{address}#r4")
    page.wait_for_function(f"{FOCUS} === 'r4'")


def test_where_a_threshold_comes_from_is_unfolded(visit: Visit) -> None:
    page = visit.show("comparison")
    page.locator(".matrix td a").first.click()
    link = page.locator("#r1 article a, #r0 article a").first
    page.evaluate("document.querySelectorAll('details.single').forEach((each) => { each.open = true })")
    link.click()
    page.wait_for_function("document.activeElement.matches('dt')")
    assert page.evaluate("document.activeElement.closest('details').open")


def test_theory_is_shown_of_the_line_in_focus(visit: Visit) -> None:
    page = visit.show("measured")
    family = page.locator(".family:not(.few):has(.s2 .theory)").first
    theory = family.locator(".s2 .theory").first
    others = family.locator(".s3").first
    assert float(theory.evaluate("(each) => getComputedStyle(each).opacity")) == 0.0
    family.locator(".names a.k2").hover()
    page.wait_for_timeout(300)
    assert float(theory.evaluate("(each) => getComputedStyle(each).opacity")) == 1.0
    assert float(others.evaluate("(each) => getComputedStyle(each).opacity")) < 0.2


@pytest.mark.parametrize("name", ["comparison", "measured"])
def test_without_javascript_everything_can_be_read(bare: Visit, name: str) -> None:
    page = bare.show(name)
    assert page.locator("#controls").is_hidden()
    assert page.locator("thead button").count() == 0
    page.locator(".matrix td a").nth(3).click()
    target = str(page.locator(".matrix td a").nth(3).get_attribute("href"))
    assert page.locator(f"{target} .command").is_visible()
    for summary in page.locator("details:not([open]) > summary").all()[::-1]:
        summary.click()
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("article.finding").first.is_visible()


def heights(page: Any, place: str) -> list[float]:
    """Return how high each of the parts is, 0 where it is not seen."""
    found = page.evaluate(
        "(place) => [...document.querySelectorAll(place)].map((each) => each.getBoundingClientRect().height)",
        place,
    )
    return [float(height) for height in found]


def test_on_paper_figures_are_unfolded_and_of_the_networks_those_open_on_screen(visit: Visit) -> None:
    page = visit.show("comparison")
    page.emulate_media(media="print")
    assert min(heights(page, ".plate .strips, .plate .charts, .matrix, #ranked")) > 0
    assert len(heights(page, ".plate:not([open])")) > 0
    assert set(heights(page, "#networks, .single, .single .command")) == {0.0}
    page.evaluate("document.querySelector('.single:has(#r3)').open = true")
    assert min(heights(page, "#networks, #r3 .command")) > 0
    assert sum(height > 0 for height in heights(page, ".single")) == 1
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".single[open]").count() == 1
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".plate:not([open])").count() > 0


def test_paper_asks_for_no_click(visit: Visit) -> None:
    page = visit.show("comparison")
    hints = ("Choose a square", "point at a line", "Open the list")
    seen = page.locator("main").inner_text()
    assert all(hint in seen for hint in hints)
    assert "where there are few lines" not in seen
    page.emulate_media(media="print")
    seen = page.locator("main").inner_text()
    assert not any(hint in seen for hint in hints)
    assert "where there are few lines" in seen
    assert page.locator("#controls").is_hidden()
    assert page.locator("nav").is_hidden()


def test_on_a4_a_row_of_the_matrix_keeps_its_name_in_one_line(visit: Visit) -> None:
    page = visit.show("wide", 718)  # A4 less margins of a centimetre, at 96 pixels per inch
    page.emulate_media(media="print")
    lines = page.evaluate(
        "[...document.querySelectorAll('.matrix tbody th')].map((each) => {"
        " const range = document.createRange(); range.selectNodeContents(each);"
        " return range.getClientRects().length; })"
    )
    assert lines == [1, 1]
    assert page.evaluate("document.documentElement.scrollWidth") == 718


@pytest.mark.parametrize("width", [1440, 1110, 1090, 375])
def test_the_ranking_fits_and_stays_a_table(visit: Visit, width: int) -> None:
    page = visit.show("comparison", width)
    table = page.get_by_role("region", name="The ranking").get_by_role("table")
    box = table.evaluate("(each) => [each.parentElement.scrollWidth, each.parentElement.clientWidth]")
    assert box[0] <= box[1]
    assert table.get_by_role("columnheader").count() == 9
    assert table.get_by_role("row").count() == 1 + 13
    assert table.get_by_role("rowheader").count() == 13
    assert table.get_by_role("cell").count() == 13 * 8
    ends = "(each) => [each.getBoundingClientRect().left, each.getBoundingClientRect().right]"
    for cell in table.locator("tbody tr").last.locator("> *").all():
        left, right = cell.evaluate(ends)
        assert 0 <= left < right <= width


def test_on_a_phone_a_reason_has_the_whole_width_and_factors_have_names(visit: Visit) -> None:
    page = visit.show("comparison", 375)
    row = page.locator("#ranked tbody tr").first
    reason = row.locator(".why").bounding_box()
    assert reason is not None
    assert reason["width"] > 280
    assert row.evaluate("(each) => each.getBoundingClientRect().height") < 150
    names = "(each) => getComputedStyle(each, '::before').content"
    told = [cell.evaluate(names).partition("/")[0].strip('" ') for cell in row.locator("> *").all()[4:]]
    assert told == ["none", "rms", "std_across", "gradient", "none"]
    heading(page, "gradient down").click()
    assert column(page, 7)[:12] == sorted(column(page, 7)[:12], key=number)


def test_histograms_say_what_they_are_at_any_width(visit: Visit) -> None:
    words = ["activations", "gradients of the preactivations"]
    page = visit.show("comparison", 1440)
    assert [each for each in page.locator(".row.head").first.locator("b").all_inner_texts() if each] == words
    page = visit.show("comparison", 375)
    row = page.locator(".plate[open] .row:has(.rms)").first
    told = [
        row.evaluate(f"(each) => getComputedStyle(each, '::{end}').content") for end in ("before", "after")
    ]
    assert [text.strip('"') for text in told] == words
    above = row.evaluate("(row) => [...row.children].map((each) => each.getBoundingClientRect().toJSON())")
    name, first, second = ((box["top"], box["bottom"]) for box in above)
    assert first[0] - name[1] > 12  # room for a word
    assert second[0] - first[1] > 12


def test_fourteen_columns_fit_a_desk(visit: Visit) -> None:
    page = visit.show("wide", 1440)
    box = page.locator(".matrix").first.evaluate(
        "(each) => [each.parentElement.scrollWidth, each.parentElement.clientWidth]"
    )
    assert box[0] <= box[1]
    assert (
        page.locator("#ranked").evaluate("(each) => each.offsetWidth - each.parentElement.clientWidth") <= 0
    )
    page = visit.show("wide", 375)
    scroll = page.locator(".scroll").first
    scroll.evaluate("(each) => { each.scrollLeft = 400 }")
    left = page.locator(".matrix tbody th").first.evaluate("(each) => each.getBoundingClientRect().left")
    assert 0 <= left < 40  # the name of the activation stays in view
