"""The reporters: (Recording, Diagnosis) -> files; one module each, found by looking."""

from actdiag.registry import import_submodules
from actdiag.reporters.base import REPORTERS as REPORTERS
from actdiag.reporters.base import Reporter as Reporter
from actdiag.reporters.base import check_folder as check_folder
from actdiag.reporters.base import report as report
from actdiag.reporters.machine import diagnosis_as_dict as diagnosis_as_dict

import_submodules(__name__, __path__)
