"""Train a labelled grid of networks, and score the verdicts that are given on their first weights.

pip install -c constraints.txt -e '.[data]'
python benchmarks/verdicts.py train          about an hour on two cores; goes on where it was stopped
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])

from calibration import labels, verdicts  # noqa: E402
from calibration.page import page  # noqa: E402
from calibration.scores import label  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> None:
    """Train or score, as asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    train = actions.add_parser("train", help="label the grid")
    train.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    train.add_argument("--protocols", nargs="+", default=["sgd", "long", "adam"])
    score = actions.add_parser("score", help="score the verdicts")
    score.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    score.add_argument("--held", action="store_true", help="the held side, too")
    score.add_argument("--out", type=Path, required=True, help="the page; the verdicts lie beside it as .csv")
    show = actions.add_parser("page", help="write the page anew from verdicts that lie beside it")
    show.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    if options.action == "train":
        labels.make(options.protocols, options.workers)
        return
    table = options.out.with_suffix(".csv")
    if options.action == "score":
        scored(options.held, options.workers).to_csv(table, index=False)
    options.out.write_text(written(pd.read_csv(table, keep_default_na=False)), encoding="utf-8")


def scored(held: bool, workers: int) -> pd.DataFrame:
    """Return the verdicts on all labelled networks, those of the held side only where asked."""
    lines = labels.read()
    jobs = [(cell, seed) for _, cell, seed in labels.jobs(["sgd"]) if held or not cell.held]
    jobs = [job for job in jobs if labels.key("sgd", *job) in lines]
    table = verdicts.frame(jobs, verdicts.judge(jobs, workers))
    known = [lines[labels.key("sgd", *job)] for job in jobs]
    table["best"] = [float(line["best"]) for line in known]
    other = [job for job, line in zip(table["weights"], known, strict=True) if job != line["weights"]]
    if other:
        raise SystemExit(f"{len(other)} of {len(jobs)} networks are not those that were trained: train anew")
    return table.assign(commit=commit())


def written(table: pd.DataFrame) -> str:
    """Return the page about verdicts."""
    header = (
        f"{len(table)} networks; thresholds as of commit {table['commit'].iloc[0]}.\n"
        "`python benchmarks/verdicts.py train`, then `score --held --out benchmarks/verdicts.md`."
    )
    lines, held = labels.read(), bool(table["held"].any())
    return page(table, changed(lines, held), header, counted(lines, held))


def changed(lines: dict[labels.Key, dict[str, str]], held: bool) -> pd.DataFrame:
    """Return the networks whose class is another one with four times the steps, or with Adam."""
    found = []
    for job in labels.jobs(["long", "adam"]):
        there, here = lines.get(labels.key(*job)), lines.get(labels.key("sgd", *job[1:]))
        if not there or not here or (job[1].held and not held):
            continue
        classes = [label(float(line["best"])) for line in (here, there)]
        if classes[0] != classes[1]:
            name = " ".join(filter(None, labels.key(*job)[1:]))
            found.append([job[0], name, *classes, here["best"], there["best"]])
    return pd.DataFrame(found)


def counted(lines: dict[labels.Key, dict[str, str]], held: bool) -> str:
    """Return how many of the networks trained otherwise fail here and there, in words."""
    said = []
    for protocol, words in (("long", "four times the steps"), ("adam", "Adam")):
        pairs = [
            (lines[labels.key(*job)], lines[labels.key("sgd", *job[1:])])
            for job in labels.jobs([protocol])
            if labels.key(*job) in lines
            and labels.key("sgd", *job[1:]) in lines
            and (held or not job[1].held)
        ]
        fail = [there for there, here in pairs if label(float(here["best"])) == "fails"]
        still = sum(label(float(there["best"])) == "fails" for there in fail)
        said.append(
            f"Of {len(pairs)} networks that were trained with {words} as well, {len(fail)} fail under the "
            f"protocol and {still} of these there."
        )
    return " ".join(said)


def commit() -> str:
    """Return the commit in use, with a + where files differ from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    )
    return described.stdout.strip()


if __name__ == "__main__":
    main()
