"""The words for what becomes of a network, and the signs that stand before them."""

from __future__ import annotations

NOT_JUDGED = "not judged"
"""The verdict where nothing was found because no rule about gradients or activations could look."""
FAILED = "could not be run"
"""The verdict on a network none of whose draws could be measured."""
SIGNS = {
    "healthy": "\u2713",
    "trains worse than it could": "!",
    "does not train": "\u2715",
    NOT_JUDGED: "?",
    FAILED: "\u2205",
}
"""What stands before a verdict, the best first, so that colour never tells it alone."""
