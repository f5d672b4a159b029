"""Recipes: published figures and numbers, run again; one module each, found by looking."""

from actdiag.recipes.base import RECIPES as RECIPES
from actdiag.recipes.base import Claim as Claim
from actdiag.recipes.base import Measured as Measured
from actdiag.recipes.base import Recipe as Recipe
from actdiag.recipes.base import Size as Size
from actdiag.recipes.base import Source as Source
from actdiag.registry import import_submodules

import_submodules(__name__, __path__)
