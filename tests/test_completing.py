"""What the shell offers after a tab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from actdiag.activations import ACTIVATIONS
from actdiag.cli import COMMANDS, cli
from actdiag.cli.completing import RECIPES
from actdiag.rules import RULES

ROOT = Path(__file__).parents[1]


def offered(line: str) -> list[str]:
    """Return what is offered for the last word of a line, which may be empty."""
    *words, incomplete = line.split(" ")[1:]
    completion = ShellComplete(cli, {}, "actdiag", "_ACTDIAG_COMPLETE")
    return [item.value for item in completion.get_completions(words, incomplete)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("actdiag ", list(COMMANDS)),
        ("actdiag re", ["report", "reproduce"]),
        ("actdiag scan --act si", ["sigmoid", "silu"]),
        ("actdiag scan --init xavier", ["xavier_slide", "xavier_uniform", "xavier", "xavier_normal"]),
        ("actdiag scan --init x --act a", []),
        ("actdiag compare --act a", ["all"]),
        ("actdiag compare --init al", ["all"]),
        ("actdiag scan --data ", ["gaussian", "digits", "idx:", "csv:"]),
        ("actdiag scan --norm ", ["none", "batch", "layer"]),
        ("actdiag theory --act gel", ["gelu"]),
        ("actdiag gain tanh ", list(ACTIVATIONS)),
        ("actdiag rule AD10", ["AD101", "AD102", "AD103", "AD104"]),
        ("actdiag rule ad30", ["AD301", "AD302", "AD305"]),
        ("actdiag rule vani", ["vanishing-gradient", "vanishing-activation"]),
        ("actdiag scan --select AD101,AD90", ["AD101,AD901", "AD101,AD902", "AD101,AD903"]),
        ("actdiag scan --set AD104.", ["AD104.noted=", "AD104.ratio="]),
        ("actdiag diagnose here --fail-on ", ["info", "warning", "error"]),
        ("actdiag reproduce h", ["hanin2018", "he2015"]),
        ("actdiag list in", ["initializers"]),
    ],
)
def test_values_are_offered(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_the_names_of_the_recipes_are_theirs() -> None:
    from actdiag.recipes import RECIPES as REGISTERED

    assert sorted(RECIPES) == sorted(REGISTERED)


def test_every_rule_is_offered() -> None:
    assert offered("actdiag rule ") == list(RULES)


@pytest.mark.parametrize(
    ("words", "modules"),
    [("actdiag sc", ("torch", "pandas", "numpy")), ("actdiag scan --act ta", ("torch", "matplotlib"))],
)
def test_nothing_heavy_is_loaded(words: str, modules: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom actdiag.cli import main\ntry:\n    main()\nfinally:\n"
        f"    print([name for name in {modules!r} if name in sys.modules], file=sys.stderr)"
    )
    number = str(len(words.split()) - 1)
    asked = {"_ACTDIAG_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": number}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["plain,scan" if number == "1" else "plain,tanh"]
    assert done.stderr.strip() == "[]"


SHELLS = {
    "bash": "COMP_WORDS=(actdiag scan --act ta); COMP_CWORD=3; "
    'unset IFS; _actdiag_completion actdiag; echo "${COMPREPLY[@]}"',
    "fish": 'complete -C "actdiag scan --act ta"',
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(shell: str, tmp_path: Path) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "actdiag"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'actdiag'\nfrom actdiag.cli import main\nmain()\n"
    )
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    source = {"bash": 'eval "$({})"', "fish": "{} | source"}[shell]
    script = source.format(f"env _ACTDIAG_COMPLETE={shell}_source actdiag") + "\n" + SHELLS[shell]
    done = subprocess.run([found, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["tanh"], done.stderr
