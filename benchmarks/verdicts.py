"""Train a labelled grid of networks, and score the verdicts that are given on their first weights.

pip install -c constraints.txt -e '.[data]'
python benchmarks/verdicts.py train          about an hour on two cores; goes on where it was stopped
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])

from calibration import labels  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> None:
    """Train or score, as asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    train = actions.add_parser("train", help="label the grid")
    train.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    train.add_argument("--protocols", nargs="+", default=["sgd", "long", "adam"])
    options = parser.parse_args(arguments)
    if options.action == "train":
        labels.make(options.protocols, options.workers)


if __name__ == "__main__":
    main()
