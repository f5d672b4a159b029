"""The figures, drawn with matplotlib from recorded histograms and rows: never from samples."""

from actdiag.plots.compatibility import matrix as matrix
from actdiag.plots.lecture import classic as classic
from actdiag.plots.lines import depths as depths
from actdiag.plots.picture import Picture as Picture
from actdiag.plots.single import distributions as distributions
from actdiag.plots.single import profile as profile
from actdiag.plots.style import BLUE as BLUE
from actdiag.plots.style import INK as INK
from actdiag.plots.style import MUTED as MUTED
from actdiag.plots.style import VERMILION as VERMILION
from actdiag.plots.style import blank_figure as blank_figure
from actdiag.plots.style import styled as styled
