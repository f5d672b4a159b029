"""Keep the diamond of layers: which part of actdiag may import what, and what a command loads.

    BASE  ->  TORCH SIDE | FRAME SIDE  ->  TOP  ->  CLI

A new module is listed below, under the part that it belongs to.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import actdiag

ROOT = Path(actdiag.__file__).parent

BASE = (
    "errors registry parameters types recording schema bins sources activations initialisers theory folders "
    "importing interrupts kernel reading saved arrays tables notebook verdicts texts arguments memory "
    "footprint blaming"
)
TORCH_SIDE = (
    "catalogue statistics models data capture distributed batches cotangents restoring weights examples "
    "jacobians nonfinite threads"
)
FRAME_SIDE = (
    "rules settings diagnosis coverage numerals profiles panels svg plot plots curves networks comparisons "
    "sketches drawings reporters"
)
TOP = "attaching checking comparing isometry predictions recipes integrations remedying scanning spectrum"

PARTS = {
    name: words.split()
    for name, words in (
        ("base", BASE),
        ("torch", TORCH_SIDE),
        ("frame", FRAME_SIDE),
        ("top", TOP),
        ("cli", "cli"),
    )
}
"""The first name below actdiag, for each part."""

PART_OF = {name: part for part, names in PARTS.items() for name in names}

BELOW = {
    "base": {"base"},
    "torch": {"base", "torch"},
    "frame": {"base", "frame"},
    "top": {"base", "torch", "frame", "top"},
    "cli": {"base", "torch", "frame", "top", "cli"},
}
"""The parts that each part may import."""

THIRD_PARTY = {
    "base": {"numpy", "pandas"},
    "torch": {"numpy", "pandas", "torch", "sklearn"},
    "frame": {"numpy", "pandas"},
    "top": {"numpy", "pandas", "torch"},
    "cli": {"numpy", "pandas", "torch", "click", "rich"},
}

ALSO = {
    "plot": {"matplotlib"},
    "plots": {"matplotlib", "seaborn"},
    "curves": {"matplotlib", "seaborn"},
    "drawings": {"matplotlib", "seaborn"},
    "reporters": {"matplotlib", "seaborn", "jinja2", "markupsafe"},
    "weights": {"safetensors"},
    "comparing": {"distributed"},
    "integrations": {"lightning", "transformers", "accelerate", "tensorboard", "wandb", "pytest"},
}
"""What single modules may import besides."""

EXEMPT = {"__init__.py", "__main__.py"}


def first_name(module: str) -> str:
    """Return `capture` for `actdiag.capture.sites`, and `` for `actdiag` itself."""
    return module.split(".")[1] if "." in module else ""


def imports(source: str, module: str, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (line, module) for every import in `source`, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(node, module if is_package else module.rpartition(".")[0])
            yield from ((node.lineno, name) for name in bound(origin, node.names))
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            yield from (
                (node.lineno, word.value)
                for word in node.args[:1]
                if isinstance(word, ast.Constant) and isinstance(word.value, str)
            )


def absolute(node: ast.ImportFrom, package: str) -> str:
    """Return the full name of what `from ..a import b` imports from, seen from inside `package`."""
    if not node.level:
        return node.module or ""
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *filter(None, [node.module])])


def called(node: ast.Call) -> str:
    """Return the last name of what is called: `import_module` for `importlib.import_module(...)`."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def bound(origin: str, names: list[ast.alias]) -> list[str]:
    """Return the modules behind `from origin import names`; a public name stands for its home."""
    if origin != "actdiag":
        return [origin]
    homes: dict[str, str] = actdiag._HOMES
    return [homes.get(alias.name, f"actdiag.{alias.name}") for alias in names if alias.name != "__version__"]


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """Return a line for every import that the layers forbid in `module`."""
    name = first_name(module)
    part = PART_OF.get(name)
    if part is None:
        where = "in BASE, TORCH_SIDE, FRAME_SIDE or TOP of tests/test_layers.py"
        return [f"{module} belongs to no part: list '{name}' {where}"]
    allowed = THIRD_PARTY[part] | ALSO.get(name, set())
    found = []
    for line, target in imports(source, module, is_package):
        top = target.partition(".")[0]
        if top == "actdiag":
            other = PART_OF.get(first_name(target))
            if other not in BELOW[part]:
                found.append(f"{module}:{line} ({part}) imports {target} ({other or 'no part'})")
        elif top not in sys.stdlib_module_names and top not in allowed:
            found.append(f"{module}:{line} ({part}) imports {target}; allowed: {', '.join(sorted(allowed))}")
    return found


def source_files() -> list[Path]:
    """Return every Python file of the package that has a place in the layers."""
    return sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.name not in EXEMPT)


@pytest.mark.parametrize("path", source_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_keep_the_layers(path: Path) -> None:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    module = ".".join(parts[:-1] if is_package else parts)
    assert violations(path.read_text(encoding="utf-8"), module, is_package) == []


def test_every_part_that_can_be_broken_was_looked_at() -> None:
    seen = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in source_files()}
    assert {"errors", "theory", "statistics", "capture", "rules", "scanning"} <= seen


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("actdiag.theory", "import torch"),
        ("actdiag.theory", "import scipy.stats"),
        ("actdiag.types", "from actdiag.models import build"),
        ("actdiag.types", "from actdiag import attach"),
        ("actdiag.types", "from actdiag import rules"),
        ("actdiag.types", "from . import rules"),
        ("actdiag.types", "from .rules.base import Rule"),
        ("actdiag.recording", "def f():\n    import matplotlib.pyplot"),
        ("actdiag.recording", "class A:\n    def f(self):\n        from actdiag.scanning import scan"),
        ("actdiag.models", "from actdiag.rules.base import Rule"),
        ("actdiag.models", "from actdiag.scanning import scan"),
        ("actdiag.statistics.state", "from ..reporters import html"),
        ("actdiag.statistics.state", "import importlib\nimportlib.import_module('actdiag.diagnosis')"),
        *(("actdiag.capture.sites", f"import {name}") for name in ("click", "rich", "seaborn", "jinja2")),
        ("actdiag.rules.base", "def f():\n    import torch"),
        ("actdiag.rules.base", "if TYPE_CHECKING:\n    from torch import Tensor"),
        ("actdiag.rules.base", "from actdiag.capture import attach"),
        ("actdiag.rules.base", "from matplotlib.figure import Figure"),
        ("actdiag.diagnosis", "import seaborn"),
        ("actdiag.diagnosis", "from actdiag.comparing import compare"),
        ("actdiag.plots", "import torch.nn.functional as F"),
        ("actdiag.reporters.html", "import rich.table"),
        ("actdiag.scanning", "import click"),
        ("actdiag.scanning", "import matplotlib"),
        ("actdiag.scanning", "from actdiag.cli import main"),
        ("actdiag.cli.commands", "import seaborn"),
        ("actdiag.theory", "from actdiag.gossip import news"),
        ("actdiag.gossip", ""),
    ],
)
def test_a_forbidden_import_is_seen(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("actdiag.theory", "import math, numpy as np\nfrom actdiag.errors import UsageError"),
        ("actdiag.recording", "from actdiag import __version__, schema"),
        ("actdiag.capture.sites", "import torch\nfrom .kinds import fans\nfrom ..statistics import merge"),
        ("actdiag.reporters.html", "import jinja2\nfrom actdiag.plots import profile"),
        ("actdiag.plots.profile", "import seaborn"),
        (
            "actdiag.scanning",
            "import torch\nfrom actdiag.models import build\nfrom actdiag.rules import RULES",
        ),
        ("actdiag.cli.commands", "import click, rich\nfrom actdiag import scan"),
    ],
)
def test_an_allowed_import_passes(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_a_module_of_no_part_is_told_where_to_be_listed() -> None:
    (line,) = violations("", "actdiag.gossip")
    assert line.startswith("actdiag.gossip belongs to no part: list 'gossip' in BASE, ")
    assert line.endswith(" of tests/test_layers.py")


HEAVY = {"torch", "numpy", "pandas", "matplotlib", "seaborn", "jinja2", "sklearn"}

RUN = """
import sys
sys.argv = ["actdiag", *{arguments!r}]
from actdiag.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, f"exit code {{end.code}}"
"""


def loaded_by(script: str) -> set[str]:
    """Run `script` in a new interpreter and return the heavy packages that it left loaded."""
    report = "\nimport sys\nprint('loaded:', *(m for m in sys.modules if '.' not in m), file=sys.stderr)\n"
    done = subprocess.run(
        [sys.executable, "-c", script + report], cwd=ROOT.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("loaded: ")
    return set(last.split()[1:]) & HEAVY


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], HEAVY),
        (["--version"], HEAVY),
        (["rule", "AD101"], {"torch", "matplotlib", "seaborn"}),
        (["list", "activations"], {"torch", "matplotlib", "seaborn"}),
        (["theory", "--act", "tanh", "--critical"], {"torch", "pandas", "matplotlib", "seaborn"}),
        (["gain", "tanh"], {"torch", "pandas", "matplotlib", "seaborn"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_loads_only_what_it_needs(arguments: list[str], absent: set[str]) -> None:
    assert loaded_by(RUN.format(arguments=arguments)) & absent == set()


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import actdiag") == set()


@pytest.mark.parametrize("name", ["torch", "pandas"])
def test_the_check_sees_a_package_that_is_loaded(name: str) -> None:
    assert name in loaded_by(f"import {name}")


def test_the_check_sees_a_script_that_fails() -> None:
    with pytest.raises(AssertionError, match="exit code 2"):
        loaded_by("import sys\nsys.stderr.write('exit code 2')\nraise SystemExit(2)")
