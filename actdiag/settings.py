"""Which rules judge, and by which thresholds: from the command line and from setup.cfg."""

from __future__ import annotations

import configparser
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from actdiag.arguments import texts
from actdiag.errors import UsageError, unknown_name
from actdiag.parameters import parse_number
from actdiag.reading import check_file, reason
from actdiag.rules import RULES, Rule

FILE, SECTION = "setup.cfg", "actdiag"
KEYS = ("select", "ignore", "set")


@dataclass(frozen=True)
class Settings:
    """Which rules judge, and by which thresholds.

    Attributes:
        select: codes of the rules to judge by; empty is all.
        ignore: codes of rules to leave out, also of those selected.
        thresholds: "AD101.floor" -> number, instead of the rule's own.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def parse(
        cls,
        select: str | Iterable[str] = (),
        ignore: str | Iterable[str] = (),
        assignments: str | Iterable[str] = (),
    ) -> Settings:
        """Return the settings that words spell.

        Args:
            select: codes, names or beginnings of codes ("AD1"), one or several separated by commas; a text
                or several texts.
            ignore: as select.
            assignments: as "AD101.floor=1e-2".

        Raises:
            UsageError: no texts, an unknown rule or threshold, or not a number.

        >>> Settings.parse(["AD30,vanishing-gradient"], [], ["AD101.floor=0.2"])
        Settings(select=('AD101', 'AD301', 'AD302', 'AD305'), ignore=(), thresholds={'AD101.floor': 0.2})
        """
        takes = "assignments set thresholds, as 'AD101.floor=0.01'"
        numbers = list(map(_assignment, _words(takes, assignments)))
        for key, times in Counter(key for key, _ in numbers).items():
            if times > 1:
                raise UsageError(f"threshold {key} was set {times} times: set it once")
        return cls(_codes("select", select), _codes("ignore", ignore), dict(numbers))

    @classmethod
    def from_config(cls, folder: str | Path) -> Settings:
        """Return the settings in the section [actdiag] of `folder`'s setup.cfg; the defaults if it has none.

        Raises:
            ActdiagError: something else than a file that can be read is there.
            UsageError: the file is no configuration, or holds an unknown key, rule or threshold.
        """
        section = _section(Path(folder) / FILE)
        for key in section:
            if key not in KEYS:
                raise unknown_name(f"key in [{SECTION}] of {FILE}", key, KEYS)
        return cls.parse(*([section[key]] if key in section else [] for key in KEYS))

    def merged(self, other: Settings) -> Settings:
        """Return these settings changed by `other`: its select replaces, its ignore adds, its numbers win."""
        return Settings(
            other.select or self.select,
            tuple(sorted({*self.ignore, *other.ignore})),
            {**self.thresholds, **other.thresholds},
        )

    def rules(self) -> list[Rule]:
        """Return the rules to judge by, in order of their codes.

        Raises:
            UsageError: none is left.
        """
        chosen = [code for code in self.select or sorted(RULES) if code not in self.ignore]
        if not chosen:
            raise UsageError(
                f"no rule is left to judge by: ignore holds all of {', '.join(self.select or RULES)}; "
                "take one out of it"
            )
        return [RULES[code](**self._thresholds_of(code)) for code in chosen]

    def _thresholds_of(self, code: str) -> dict[str, float]:
        split = {key: key.partition(".") for key in self.thresholds}
        return {name: self.thresholds[key] for key, (owner, _, name) in split.items() if owner == code}


def _words(takes: str, given: str | Iterable[str]) -> list[str]:
    """Split at commas and line ends what was given to an option that takes texts, as it says."""
    parts = [part for text in texts(takes, given) for part in text.replace(",", "\n").splitlines()]
    return [word for part in parts if (word := part.strip())]


def _codes(option: str, given: str | Iterable[str]) -> tuple[str, ...]:
    words = _words(f"{option} takes rules, as 'AD101' or ['AD101', 'AD201']", given)
    return tuple(sorted({code for word in words for code in _matching(word)}))


def _matching(word: str) -> list[str]:
    """Return the codes that a code, a name or the beginning of a code stands for."""
    codes = [code for code in RULES if code.startswith(word.upper())]
    return codes or [RULES[_known(word)].code]


def _known(word: str) -> str:
    """Return a code or name in its own spelling, or say which was meant."""
    spelt = next((name for name in (word.upper(), word.lower()) if name in RULES), None)
    if spelt is None:
        raise unknown_name("rule", word, [*RULES, *(rule.name for rule in RULES.values())])
    return spelt


def _assignment(text: str) -> tuple[str, float]:
    target, equals, value = (part.strip() for part in text.partition("="))
    owner, dot, name = (part.strip() for part in target.partition("."))
    if not (equals and dot):
        raise UsageError(f"a threshold is set as RULE.NAME=NUMBER, such as AD101.floor=0.01, got '{text}'")
    rule = RULES[_known(owner)]
    names = [item.name for item in fields(rule)]
    if not names:
        raise UsageError(f"{rule.code} has no threshold to set, got '{text}'")
    if name not in names:
        raise unknown_name(f"threshold of {rule.code}", name, names)
    key = f"{rule.code}.{name}"
    number = parse_number(f"threshold {key}", value)
    if number < 0:
        raise UsageError(f"threshold {key} takes a number >= 0, got '{value}'")
    return key, number


def _section(path: Path) -> Mapping[str, Any]:
    """Return the keys of the section; interpolation is off, so that % is a character."""
    if not path.exists() and not path.is_symlink():
        return {}
    check_file(path)
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"), path.name)
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read: {reason(error)}. Mend it, or run in another folder."
        ) from error
    return dict(parser[SECTION]) if parser.has_section(SECTION) else {}
