"""The rules: one file each, found by looking."""

from actdiag.registry import import_submodules
from actdiag.rules.base import RULES as RULES
from actdiag.rules.base import Rule as Rule

import_submodules(__name__, __path__)
