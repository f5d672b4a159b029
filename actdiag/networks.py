"""Which runs are draws of one network, and which networks share a matrix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from actdiag.texts import printable

Spec = Mapping[str, Any]

_PLACE = ("act", "init", "gain")
"""What may differ within a matrix: its rows and its columns."""
_OPEN = ("features", "classes", "device")
"""Fields that may be left open, and are what was run once it was run."""
_WORDS = {"True": "yes", "False": "no"}


def specs(runs: Mapping[str, Spec]) -> dict[str, dict[str, Any]]:
    """Return each run's spec with the gain that was asked for, see `asked_gain`, its words printable.

    What a failed run left open is taken from runs that succeeded, so that it stands beside them.

    Args:
        runs: each run's facts: its spec, its command, and its error if it failed.
    """
    done = [facts["spec"] for facts in runs.values() if not facts.get("error")]
    settled = {
        run: _settle(facts["spec"], done) if facts.get("error") else facts["spec"]
        for run, facts in runs.items()
    }
    return {run: _shown({**spec, "gain": asked_gain(runs[run])}) for run, spec in settled.items()}


def _shown(spec: Spec) -> dict[str, Any]:
    return {name: printable(value) if isinstance(value, str) else value for name, value in spec.items()}


def asked_gain(facts: Spec) -> str:
    """Return the gain that a run was asked to have; "" where it was the initialiser's own.

    >>> asked_gain({"spec": {"gain": 1.5925}, "command": "actdiag scan --init xavier --gain exact"})
    'exact'
    """
    command, gain = facts.get("command"), facts["spec"].get("gain")
    if not command:
        return "" if gain is None else str(gain)
    asked = re.search(r" --gain (\S+)", command)
    return asked[1] if asked else ""


def network_key(spec: Spec) -> tuple[Any, ...]:
    """Return what draws of one network have in common: everything but the seed."""
    return _key(spec, ("seed",))


def sheet_key(spec: Spec) -> tuple[Any, ...]:
    """Return what the networks of one matrix have in common."""
    return _key({**spec, "features": _features(spec)}, (*_PLACE, "seed"))


def sheet_labels(sheets: Sequence[Spec]) -> list[str]:
    """Name each matrix, by a spec of it, after the fields in which the matrices differ.

    >>> sheet_labels([{"act": "tanh", "depth": 5, "width": 8}, {"act": "relu", "depth": 50, "width": 8}])
    ['depth 5', 'depth 50']
    """
    plain = [{**spec, "features": _features(spec)} for spec in sheets]
    names = [name for name in plain[0] if name not in (*_PLACE, "seed")]
    differing = [name for name in names if len({str(spec.get(name)) for spec in plain}) > 1]
    return [", ".join(_settings(spec, differing)) for spec in plain]


def initialiser_label(spec: Spec) -> str:
    """Return a column's name: the initialiser, with the gain that was asked for."""
    gain = f", gain {spec['gain']}" if spec["gain"] else ""
    return f"{spec['init']}{gain}"


def _settings(spec: Spec, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if spec.get(name) is not None:
            yield f"{name.replace('_', ' ')} {_WORDS.get(str(spec[name]), spec[name])}"


def _key(spec: Spec, without: Iterable[str]) -> tuple[Any, ...]:
    return tuple((name, value) for name, value in sorted(spec.items()) if name not in without)


def _features(spec: Spec) -> Any:
    """Return the number of features where it was chosen: of gaussian data it follows the width."""
    follows = spec.get("data") == "gaussian" and spec.get("features") == spec.get("width")
    return None if follows else spec.get("features")


def _settle(spec: Spec, done: Iterable[Spec]) -> Spec:
    """Return the spec with what it left open as in a run that is otherwise alike, the same batch first."""
    own = {**spec, "features": spec["width"]} if spec["data"] == "gaussian" and not spec["features"] else spec
    alike = sorted((other for other in done if _matches(own, other)), key=lambda other: -other["batch"])
    return {**own, **{name: alike[0][name] for name in (*_left_open(own), "batch")}} if alike else own


def _matches(spec: Spec, other: Spec) -> bool:
    """Return whether a spec, once it were run, could stand beside another that was.

    Data may hold fewer samples than a batch asks for; other depths and widths tell what is left open as well.
    """
    free = (*_PLACE, *_left_open(spec), "seed", "batch", "depth", "width", "features")
    return other["batch"] <= spec["batch"] and all(
        spec[name] == other[name] for name in spec if name not in free
    )


def _left_open(spec: Spec) -> list[str]:
    return [name for name in _OPEN if spec[name] in (None, "auto")]
