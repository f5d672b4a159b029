"""The pages of `actdiag reproduce`: one a recipe, and an index of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from actdiag.reporters.number_lines import accepted, expected, interval, mean, measured, strip
from actdiag.reporters.pages import environment
from actdiag.sketches import Sketch

Facts = Mapping[str, Any]

MARK = "<!-- written by actdiag reproduce -->"
"""In every file that the index may replace."""
TONES = {"reproduced": "good", "not reproduced": "bad", "inconclusive": "fair"}
_MARKS = {"reproduced": "✓", "not reproduced": "✕", "inconclusive": "?"}


def recipe_files(facts: Facts, sketches: Sequence[Sketch]) -> dict[str, bytes]:
    """Return report.html, which needs nothing beside it, and the figures as PNG."""
    from actdiag.drawings import DARK, png

    light = {f"{sketch.name}.png": png(sketch) for sketch in sketches}
    dark = {f"{sketch.name}.png": png(sketch, DARK) for sketch in sketches}
    figures = [
        {**figure, "light": _embedded(light[figure["file"]]), "dark": _embedded(dark[figure["file"]])}
        for figure in facts["figures"]
    ]
    claims = [{**claim, **_words(claim)} for claim in facts["claims"]]
    page = _render("recipe.html", **{**facts, "figures": figures, "claims": claims, "tally": tally(facts)})
    return {"report.html": page, **light}


def index_files(recipes: Sequence[Facts]) -> dict[str, bytes]:
    """Return index.html and README.md of recipes that lie in folders of their names."""
    rows = [{**facts, "tally": tally(facts), "tone": _tone(facts)} for facts in recipes]
    return {
        "index.html": _render("gallery.html", recipes=rows, mark=MARK),
        "README.md": readme(recipes).encode("utf-8"),
    }


def tally(facts: Facts) -> str:
    """Return the outcomes in words.

    >>> tally({"claims": [{"outcome": "reproduced"}, {"outcome": "inconclusive"}, {"outcome": "reproduced"}]})
    '2 of 3 claims reproduced, 1 inconclusive'
    """
    outcomes = [claim["outcome"] for claim in facts["claims"]]
    others = [f"{outcomes.count(name)} {name}" for name in list(TONES)[1:] if name in outcomes]
    return ", ".join([f"{outcomes.count('reproduced')} of {len(outcomes)} claims reproduced", *others])


def readme(recipes: Sequence[Facts]) -> str:
    """Return the index as Markdown, with the pictures."""
    parts = [
        MARK,
        "# Reproductions",
        "Published figures and numbers of deep networks' starts, measured again. Each page puts what was "
        "published beside what is expected and what was measured.",
    ]
    for facts in recipes:
        name = facts["recipe"]
        figure = facts["figures"][0]
        parts += [
            f"## [{_inline(facts['title'])}]({name}/report.html)",
            f"{_inline(facts['source'])} {tally(facts)} ({_inline(facts['setting'])}).",
            f"![{_inline(figure['alt'])}]({name}/{figure['file']})",
            "\n".join(f"- {_line(claim)}" for claim in facts["claims"]),
            f"`{facts['command']}`",
        ]
    return "\n\n".join(parts) + "\n"


def _line(claim: Facts) -> str:
    says = f"**{claim['outcome']}**: {_inline(claim['says'])} ({_inline(claim['where'])})"
    accepted_words = (
        f"published {_inline(claim['published'])}; {_inline(claim['statistic'])}: {measured(claim)}"
    )
    return f"{says}: {accepted_words}, accepted {accepted(claim)}"


def _inline(text: str) -> str:
    """Return text in which nothing is Markdown or HTML."""
    for character in "\\`*_[]<>|":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())


def _words(claim: Facts) -> dict[str, Any]:
    return {
        "tone": TONES[claim["outcome"]],
        "mark": _MARKS[claim["outcome"]],
        "accepted_words": accepted(claim),
        "measured_words": mean(claim),
        "interval_words": interval(claim),
        "expected_words": expected(claim),
        "power": power(claim),
        "strip": _safe(strip(claim)),
    }


def power(claim: Facts) -> str:
    """Say how many draws would decide an inconclusive claim; nothing for another."""
    if claim["outcome"] != "inconclusive":
        return ""
    if claim["mean"] is None:
        return "A draw gave no finite number, so that there is no mean to compare."
    if claim["needed"] is None:
        return "The mean lies so near the end of the accepted values that no usual number of draws decides."
    return (
        f"If mean and spread stay as they are, {claim['needed']} draws decide with a chance of 80%; "
        f"{claim['draws']} were made."
    )


def _tone(facts: Facts) -> str:
    outcomes = {claim["outcome"] for claim in facts["claims"]}
    return next((TONES[name] for name in ("not reproduced", "inconclusive") if name in outcomes), "good")


def _safe(svg: str) -> Any:
    from markupsafe import Markup

    return Markup(svg)


def _embedded(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _render(template: str, **context: Any) -> bytes:
    return environment().get_template(template).render(**context).encode("utf-8", "backslashreplace")
