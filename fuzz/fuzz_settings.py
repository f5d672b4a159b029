"""Configuration: a setup.cfg, or the words of --select, --ignore and --set."""

from __future__ import annotations

import math

from oracle import promise, refuses, scratch

from actdiag.rules import RULES
from actdiag.settings import Settings

FOLDER = scratch("settings")


def seeds() -> list[bytes]:
    """Return settings of every form."""
    return [
        b"c[actdiag]\nselect = AD1, AD2\nignore = AD204\n    dead-unit\nset =\n    AD101.floor = 0.2\n",
        b"c[metadata]\nname = %(x)s\n[actdiag]\nset = AD201.floor=1e-3,AD202.ceiling=50\n",
        b"c\xef\xbb\xbf[actdiag]\nselct = AD1\n",
        b"c[actdiag]\nselect = AD1\nselect = AD2\n[actdiag]\n",
        b"cno section\n",
        b"wAD101,vanishing-gradient\nAD1\nAD101.floor=0.2",
        b"wAD9\n\nuneven-gradient.floor = 1_0",
        b"w\nAD\n",
    ]


def one(data: bytes) -> bool:
    """Read one configuration and make its rules; the first byte says file or words.

    Returns:
        Whether it was read, not refused.
    """
    way, content = data[:1], data[1:]
    if way == b"w":
        words = [[line] for line in content.decode(errors="replace").split("\n", 2)]
        settings = refuses(lambda: Settings.parse(*words))
    else:
        (FOLDER / "setup.cfg").write_bytes(content)
        settings = refuses(lambda: Settings.from_config(FOLDER))
    if settings is None:
        return False
    _check(settings)
    return True


def _check(settings: Settings) -> None:
    promise({*settings.select, *settings.ignore} <= {rule.code for rule in RULES.values()}, "an unknown code")
    numbers = settings.thresholds.values()
    promise(all(math.isfinite(number) and number >= 0 for number in numbers), "a threshold that is no number")
    promise(
        settings.merged(Settings()) == settings == Settings().merged(settings), "merging nothing changes it"
    )
    rules = refuses(settings.rules)
    promise(rules is None or rules, "no rules and no word why")
    for rule in rules or ():
        for key in settings.thresholds:
            owner, _, name = key.partition(".")
            promise(
                owner != rule.code or getattr(rule, name) == settings.thresholds[key], f"{key} is not set"
            )
