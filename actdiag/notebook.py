"""What a notebook shows of a recording, a diagnosis and a finding: small pieces of self-contained HTML.

Text keeps the notebook's own colours, light or dark; severities are told by words on chips, marks and edges.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from actdiag.texts import escaped
from actdiag.verdicts import SIGNS

if TYPE_CHECKING:
    import pandas as pd

    from actdiag.recording import Recording
    from actdiag.types import Diagnosis, Finding

_VERDICTS = {
    "healthy": "#00684f",
    "trains worse than it could": "#7a5200",
    "does not train": "#a8330f",
}
"""White on these has a contrast above 6:1. Any other verdict is grey."""
_OTHER = "#56616c"
_SEVERITIES = {"error": "#a8330f", "warning": "#7a5200", "info": "#0b62a8"}
_LINES = {"rms": "#2f81c9", "gradient norm": "#c9691f"}
"""Colours of the small curves: seen on white and on black."""
_MOST_RUNS, _MOST_TILES = 20, 800
"""Runs in a recording's table, and marks of a diagnosis."""
_WIDTH, _HEIGHT = 120, 26
_DECADES = 2.0
"""What the height of a small curve spans at least, so that a steady one looks steady."""
_CELL = "text-align:left;padding:2px 14px 2px 0;border:0;background:none;vertical-align:middle"
_FAINT = "opacity:.75;font-size:13px"


def finding_html(finding: Finding, where: str = "") -> str:
    """Return a block: severity, code, message, remedy and evidence.

    Args:
        finding: to show.
        where: in which runs it was found; "" for its layers alone.
    """
    colour = _SEVERITIES[finding.severity.value]
    layers = f"layer{'s' * (len(finding.layers) > 1)} {_spell(finding.layers)}" if finding.layers else ""
    evidence = "; ".join(_evidence(finding.evidence))
    lines = [
        f"{_chip(finding.severity.value, colour)} <b>{escaped(finding.code)} {escaped(finding.name)}</b>"
        f' <span style="{_FAINT}">{escaped(", ".join(filter(None, (layers, where))))}</span>',
        escaped(finding.message),
        f"<b>Remedy:</b> {escaped(finding.remedy)}" if finding.remedy else "",
        f'<span style="{_FAINT}">{escaped(evidence)}</span>' if evidence else "",
    ]
    body = "".join(f"<div>{line}</div>" for line in lines if line)
    return _framed(
        f'<div style="border-left:4px solid {colour};padding:1px 0 1px 12px;max-width:52em">{body}</div>'
    )


def _evidence(evidence: Mapping[str, float | int | str]) -> Iterator[str]:
    """Yield each number with its name, the threshold with its source."""
    for key, value in evidence.items():
        source = evidence.get("threshold_source") if key == "threshold" else None
        if key != "threshold_source":
            yield f"{key.replace('_', ' ')} {_word(value)}" + (f" ({source})" if source else "")


def diagnosis_html(diagnosis: Diagnosis) -> str:
    """Return the verdict, of several runs how many got which, and what was found; one block for each code."""
    verdicts = {run: diagnosis.of(run).run_verdict for run in diagnosis.runs}
    several = len(verdicts) > 1
    parts = [_heading(diagnosis.verdict)]
    if several:
        parts += [_votes(verdicts), _tiles(verdicts)]
    groups: dict[str, list[Finding]] = {}
    for finding in diagnosis.findings:
        groups.setdefault(finding.code if several else str(len(groups)), []).append(finding)
    for group in groups.values():
        runs = len({finding.run for finding in group})
        where = f"in {runs} of {len(verdicts)} runs, as in {group[0].run}" if several else ""
        parts.append(finding_html(group[0], where))
    return _framed("".join([*parts, _not_judged(diagnosis)]))


def _not_judged(diagnosis: Diagnosis) -> str:
    reasons = dict.fromkeys(
        f"{outcome.code} {outcome.name}: {outcome.reason}" for outcome in diagnosis.skipped
    )
    if not reasons:
        return ""
    items = "".join(f"<li>{escaped(reason)}</li>" for reason in list(reasons)[:_MOST_RUNS])
    more = f"<li>and {len(reasons) - _MOST_RUNS} more</li>" if len(reasons) > _MOST_RUNS else ""
    summary = f"<summary>Not judged: {len(reasons)}</summary>"
    return f'<details style="{_FAINT}">{summary}<ul>{items}{more}</ul></details>'


def recording_html(recording: Recording) -> str:
    """Return how much was recorded and, for each run, signal and gradient against depth as small curves."""
    runs = recording.runs
    measured = len(recording.measured)
    words = [
        f"{len(runs)} run{'s' * (len(runs) != 1)}",
        f"{measured:,} measured rows",
        f"{len(recording.rows) - measured:,} predicted",
        f"{len(recording.modules):,} modules",
    ]
    shown = runs[:_MOST_RUNS]
    rows = recording.measured
    tables = dict(iter(rows[rows["run"].isin(shown)].groupby("run", sort=False)))
    heads = "".join(f'<th style="{_CELL}">{name}</th>' for name in ("run", "layers", *_LINES))
    lines = "".join(_run_row(run, recording.meta["runs"][run], tables.get(run)) for run in shown)
    more = f'<div style="{_FAINT}">and {len(runs) - len(shown)} more</div>' if len(runs) > len(shown) else ""
    return _framed(
        f"<div><b>Recording</b>: {', '.join(words)}</div>"
        f'<table style="border-collapse:collapse;margin:6px 0 0 0"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table>{more}"
    )


def _run_row(run: str, facts: Mapping[str, Any], rows: pd.DataFrame | None) -> str:
    name = f'<td style="{_CELL}"><code>{escaped(run or "model")}</code></td>'
    if rows is None:
        why = escaped(str(facts.get("error") or "nothing was measured"))
        return f'<tr>{name}<td style="{_CELL}" colspan="{1 + len(_LINES)}">{why}</td></tr>'
    first = rows[rows["step"] == rows["step"].min()].sort_values(["layer", "call"], kind="stable")
    signal = first[first["tensor"] == "activation"].drop_duplicates("layer")
    gradient = first[(first["tensor"] == "preactivation_grad") & (first["layer"] > 0)].drop_duplicates(
        "layer"
    )
    norms = gradient["rms"] * (gradient["units"] * gradient["positions"]) ** 0.5
    curves = (
        _spark("rms", signal["layer"], signal["rms"]),
        _spark("gradient norm", gradient["layer"], norms),
    )
    cells = "".join(f'<td style="{_CELL};white-space:nowrap">{curve}</td>' for curve in curves)
    return f'<tr>{name}<td style="{_CELL}">{int(first["layer"].max())}</td>{cells}</tr>'


def _spark(name: str, layers: Iterable[int], values: Iterable[float]) -> str:
    """Return a curve on a log axis with its ends in words; what is 0 or not finite leaves a gap."""
    points = [(int(layer), float(value)) for layer, value in zip(layers, values, strict=True)]
    logs = [(x, math.log10(y)) for x, y in points if 0.0 < y < math.inf]
    if not points:
        return "-"
    words = _word(points[0][1]) + (f" → {_word(points[-1][1])}" if len(points) > 1 else "")
    spoken = f"{name} from layer {points[0][0]} to layer {points[-1][0]}: {words}"
    paths = "".join(_piece(piece, logs, points) for piece in _pieces(points))
    return (
        f'<svg role="img" aria-label="{escaped(spoken)}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" style="vertical-align:middle">'
        f'<g fill="none" stroke="{_LINES[name]}" stroke-width="2" stroke-linecap="round" '
        f'stroke-linejoin="round">{paths}</g></svg> {escaped(words)}'
    )


def _pieces(points: Sequence[tuple[int, float]]) -> list[list[tuple[int, float]]]:
    """Return the runs of points that have a place on a log axis."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for x, y in points:
        if 0.0 < y < math.inf:
            pieces[-1].append((x, math.log10(y)))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _piece(
    piece: Sequence[tuple[int, float]],
    logs: Sequence[tuple[int, float]],
    points: Sequence[tuple[int, float]],
) -> str:
    low, high = min(y for _, y in logs), max(y for _, y in logs)
    spare = max(_DECADES - (high - low), 0.0) / 2
    low, high = low - spare, high + spare
    first, last = points[0][0], points[-1][0]
    places = [
        (
            3 + (_WIDTH - 6) * ((x - first) / (last - first) if last > first else 0.5),
            _HEIGHT - 3 - (_HEIGHT - 6) * (y - low) / (high - low),
        )
        for x, y in piece
    ]
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return f'<path d="M{steps}{"h0" if len(places) == 1 else ""}"/>'


def _heading(verdict: str) -> str:
    mark, colour = SIGNS.get(verdict, "?"), _VERDICTS.get(verdict, _OTHER)
    words = f"{mark} {verdict}"
    return f'<div style="font-size:16px;margin:2px 0 6px">{_chip(words, colour)}</div>'


def _votes(verdicts: Mapping[str, str]) -> str:
    counts = {verdict: list(verdicts.values()).count(verdict) for verdict in dict.fromkeys(verdicts.values())}
    words = "; ".join(
        f"{escaped(verdict)}: {count} of {len(verdicts)} runs" for verdict, count in counts.items()
    )
    return f"<div>{words}</div>"


def _tiles(verdicts: Mapping[str, str]) -> str:
    """Return a mark for each run, in order; its name and verdict show where the pointer rests."""
    tiles = []
    for run, verdict in list(verdicts.items())[:_MOST_TILES]:
        mark, colour = SIGNS.get(verdict, "?"), _VERDICTS.get(verdict, _OTHER)
        tiles.append(f'<i style="background:{colour}" title="{escaped(run)}: {escaped(verdict)}">{mark}</i>')
    style = (
        "<style>.actdiag-runs{display:flex;flex-wrap:wrap;gap:2px;max-width:52em;margin:6px 0}"
        ".actdiag-runs i{width:17px;color:#fff;font:bold 12px/17px sans-serif;text-align:center}</style>"
    )
    return f'{style}<div class="actdiag-runs">{"".join(tiles)}</div>'


def _chip(words: str, colour: str) -> str:
    style = f"background:{colour};color:#fff;border-radius:3px;padding:1px 7px;font-weight:600"
    return f'<span style="{style}">{escaped(words)}</span>'


def _framed(body: str) -> str:
    return f'<div style="font-size:14px;line-height:1.45;margin:4px 0 8px;overflow-x:auto">{body}</div>'


def _word(value: float | int | str) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _spell(layers: Sequence[int]) -> str:
    whole = len(layers) > 2 and list(layers) == list(range(layers[0], layers[-1] + 1))
    return f"{layers[0]} to {layers[-1]}" if whole else ", ".join(map(str, layers))
