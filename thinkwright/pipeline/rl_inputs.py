"""What an ``rl`` stage is given, loaded and looked at before anything is computed: also for ``doctor``."""

from thinkwright.algorithms.custom import advantage_of, policy_loss_of
from thinkwright.config.recipe import RLRecipe
from thinkwright.models.policy import Policy
from thinkwright.pipeline.limits import longest_prompt
from thinkwright.rewards.check import check_rewards
from thinkwright.rewards.pool import WorkerPool
from thinkwright.tasks.exclusion import training_rows
from thinkwright.tasks.task import Task
from thinkwright.training.general import GeneralPrompts
from thinkwright.training.step_sampler import check_budget
from thinkwright.training.teacher_traces import TeacherTraces


def load_general(recipe: RLRecipe, policy: Policy) -> GeneralPrompts | None:
    """Tasks and reward models of the prompts without a rule, if the recipe has such."""
    if recipe.general is None:
        return None
    general = GeneralPrompts(recipe.general, recipe.template, policy.device, policy.dtype)
    general.check(recipe.rollout.prompts_per_step, recipe.rollout.max_response_tokens)
    return general


def load_traces(recipe: RLRecipe, policy: Policy, task: Task) -> TeacherTraces | None:
    """A teacher's traces, if the recipe has such. Raises DataError if a finite task has no prompt for one of them."""
    if recipe.teacher_traces is None:
        return None
    max_tokens = recipe.rollout.max_response_tokens
    traces = TeacherTraces(recipe.teacher_traces, recipe.template, policy, task.held_out, max_tokens)
    if prompts := training_rows(task):
        encode = policy.tokenizer.encode
        traces.check([tuple(encode(prompt.text, add_special_tokens=False)) for prompt in prompts])
    return traces


def check_recipe(
    recipe: RLRecipe, policy: Policy, task: Task, pool: WorkerPool, general: GeneralPrompts | None = None
) -> None:
    """Raises RecipeError for methods, rewards or a thinking budget that cannot be, for prompts that fit neither the
    model's context nor the memory."""
    if recipe.critic is None:
        advantage_of(recipe.algorithm.advantage)
    policy_loss_of(recipe.algorithm.loss)
    check_budget(recipe, policy)
    prompts = [*task.all_prompts(), *(general.all_prompts() if general is not None else ())]
    longest_prompt(policy, recipe.rollout, recipe.seed, prompts)
    check_rewards(recipe.rewards, {prompt.language for prompt in prompts}, pool)
