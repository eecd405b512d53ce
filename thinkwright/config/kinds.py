"""The kinds of recipes, told apart by ``type``."""

from thinkwright.config.distill import DistillRecipe
from thinkwright.config.evaluate import EvaluateRecipe
from thinkwright.config.recipe import PretrainRecipe, RLRecipe
from thinkwright.config.rejection import RejectionRecipe
from thinkwright.config.reward_model import RewardModelRecipe
from thinkwright.config.sft import SFTRecipe

Recipe = PretrainRecipe | SFTRecipe | RLRecipe | RejectionRecipe | RewardModelRecipe | EvaluateRecipe | DistillRecipe
RECIPES = (PretrainRecipe, SFTRecipe, RLRecipe, RejectionRecipe, RewardModelRecipe, EvaluateRecipe, DistillRecipe)
TrainingRecipe = SFTRecipe | RLRecipe | RewardModelRecipe | DistillRecipe
"""Of these kinds a run has a trainer, which may be spread over ranks."""
TRAINING_RECIPES = (SFTRecipe, RLRecipe, RewardModelRecipe, DistillRecipe)
