"""What capture cannot measure: nothing else may be missing, and nothing here may turn out to be there."""

from __future__ import annotations

NOT_OBSERVED: tuple[tuple[str, str, str], ...] = (
    ("a complex output", "spectrum", "its output is complex"),
    ("a sparse output", "thin", "its output is sparse"),
    ("a nested output", "body", "its output is a nested tensor"),
    ("more than four that cannot be measured", "", "'1' is complex"),
    ("views, written to", "halves", "'0' has a gradient that is lost: it is a view"),
    ("eight bits, and no units", "", "'0' is float8_e4m3fn"),
    ("random 22", "parts.5", "its output has a gradient that is lost: it is a view of"),
    ("vmap", "", "its output is inside a torch.func transform"),
    ("vmap", "0", "its output is inside a torch.func transform"),
    ("vmap", "1", "its output is inside a torch.func transform"),
    ("meta device", "", "its output is on the meta device"),
    ("meta device", "0", "its output is on the meta device"),
    ("meta device", "1", "its output is on the meta device"),
    ("meta device", "2", "its output is on the meta device"),
)
"""(case, module, beginning of the reason in the modules table)."""
