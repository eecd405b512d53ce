"""The kinds of recipes, told apart by ``type``."""

from thinkwright.config.recipe import PretrainRecipe, RLRecipe
from thinkwright.config.rejection import RejectionRecipe
from thinkwright.config.sft import SFTRecipe

Recipe = PretrainRecipe | SFTRecipe | RLRecipe | RejectionRecipe
RECIPES = (PretrainRecipe, SFTRecipe, RLRecipe, RejectionRecipe)
