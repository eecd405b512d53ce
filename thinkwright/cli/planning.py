"""``plan`` and ``simulate``: what a run will take before it is spent, and what asynchronous rollouts would gain."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkwright.cli.values import positive, positive_number
from thinkwright.errors import RecipeError
from thinkwright.quick_imports import quick_imports

if TYPE_CHECKING:
    from rich.console import Console

    from thinkwright.config.kinds import Recipe
    from thinkwright.config.pipeline import Pipeline
    from thinkwright.planning.plan import Plan


def add_planning_verbs(verbs: Any) -> None:
    """Add them to the parser."""
    plan = verbs.add_parser(
        "plan", help="memory, time, tokens and money of a recipe, from two steps on this machine or a table of hardware"
    )
    plan.add_argument("recipe", metavar="RECIPE")
    plan.add_argument("overrides", nargs="*", metavar="key=value", help="such as optimizer.micro_batch_tokens=8192")
    plan.add_argument("--like", type=Path, metavar="RUN", help="lengths and teaching groups as an RL run had them")
    plan.add_argument(
        "--response-tokens", type=positive_number, metavar="N", help="tokens of a completion, mean over the run"
    )
    plan.add_argument(
        "--learned-share", type=_share, metavar="S", help="share of groups that teach something, mean over the run"
    )
    plan.add_argument("--price", type=positive_number, metavar="USD", help="of a device for an hour")
    plan.add_argument("--hardware", metavar="NAME", help="plan for such devices, by their data sheets; nothing is run")
    plan.add_argument("--devices", type=positive, metavar="N", help="with --hardware: so many, not the recipe's number")
    plan.add_argument("--prompt-tokens", type=positive, metavar="N", help="with --hardware: of a prompt (default 256)")
    plan.add_argument("--rows", type=positive, metavar="N", help="with --hardware: that stages of rows learn from")
    plan.add_argument("--only", metavar="STAGE", help="with --hardware: this stage of a pipeline alone")
    plan.set_defaults(verb=_plan)
    simulate = verbs.add_parser(
        "simulate", help="what asynchronous rollouts would gain on many devices, from an RL run's measured phases"
    )
    simulate.add_argument("run", type=Path, metavar="RUN", help="folder of an RL run without rollout.max_staleness")
    simulate.add_argument("--devices", type=positive, nargs="+", default=[8, 16, 64, 256, 1024], metavar="N")
    simulate.add_argument("--staleness", type=int, nargs="+", default=[0, 1, 2, 4], metavar="K")
    simulate.add_argument("--prompts", type=positive, metavar="N", help="prompts of a step (default: as in the run)")
    simulate.set_defaults(verb=_simulate)


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError("more than 0, at most 1")
    return value


def _plan(options: argparse.Namespace) -> int:
    from thinkwright.config.load import load_recipe
    from thinkwright.config.pipeline import load_pipeline

    _check_options(options)
    pipeline = load_pipeline(options.recipe, options.overrides)
    if pipeline is None and options.only:
        raise RecipeError(f"{options.recipe}: is no pipeline, so --only has no effect; remove it")
    recipe = load_recipe(options.recipe, options.overrides) if pipeline is None else None

    from thinkwright.display import console_of_tables

    console = console_of_tables()
    if options.hardware is not None:
        _print_from_table(console, options, pipeline, recipe)
    elif recipe is None:
        raise RecipeError(
            f"{options.recipe}: a pipeline's stages learn from what earlier ones leave, so they cannot be probed "
            "before the run; plan from the table of hardware (--hardware), or plan a stage's own recipe"
        )
    else:
        _print_plan(console, _probed(options, recipe))
    return 0


def _check_options(options: argparse.Namespace) -> None:
    """Raises RecipeError for options without effect."""
    for name in ("devices", "prompt_tokens", "rows", "only"):
        if options.hardware is None and getattr(options, name) is not None:
            raise RecipeError(f"--{name.replace('_', '-')} has no effect without --hardware; remove it")
    given = [name for name in ("response_tokens", "learned_share") if getattr(options, name) is not None]
    if options.like is not None and given:
        raise RecipeError(f"--like says --{given[0].replace('_', '-')} already; give one of the two")


def _probed(options: argparse.Namespace, recipe: "Recipe") -> "Plan":
    from thinkwright.config.kinds import TRAINING_RECIPES

    with quick_imports():
        from thinkwright.planning.expected import Expected, check_expected, expected_like
        from thinkwright.planning.from_probe import plan_of_probe
        from thinkwright.planning.probe import probe

    if not isinstance(recipe, TRAINING_RECIPES):
        raise RecipeError(
            f"{options.recipe}: a stage of type {recipe.type} is not probed; plan probes rl, sft, reward_model, distill"
        )
    expected = Expected(options.response_tokens, options.learned_share)
    expected = expected_like(options.like) if options.like is not None else expected
    check_expected(recipe, expected)
    return plan_of_probe(options.recipe, recipe, probe(recipe, expected), expected, options.price)


def _print_from_table(
    console: "Console", options: argparse.Namespace, pipeline: "Pipeline | None", recipe: "Recipe | None"
) -> None:
    with quick_imports():
        from thinkwright.planning.expected import expected_like
        from thinkwright.planning.from_table import Given
        from thinkwright.planning.hardware import hardware_of
        from thinkwright.planning.plan_table import stages_table
        from thinkwright.planning.stages import planned_stage, planned_stages

    tokens, share = options.response_tokens, options.learned_share
    if options.like is not None:
        expected = expected_like(options.like)
        tokens, share = expected.response_tokens, expected.learned_share
    if tokens is None:
        raise RecipeError("--hardware: no model writes anything, so say how long completions are: --response-tokens N")
    given = Given(
        tokens,
        1.0 if share is None else share,
        options.prompt_tokens or 256,
        options.rows,
        options.devices,
        options.price,
    )
    hardware = hardware_of(options.hardware)
    if pipeline is None:
        assert recipe is not None
        _check_given(recipe, options, tokens)
        _print_plan(console, planned_stage(options.recipe, recipe, hardware, given))
        return
    plans, left = planned_stages(pipeline, options.only, hardware, given)
    for plan in plans:
        _print_plan(console, plan)
    for name, why in left.items():
        console.print(f"{name}: not planned: {why}", highlight=False, soft_wrap=True)
    if len(plans) > 1:
        console.print(stages_table(plans))


def _check_given(recipe: "Recipe", options: argparse.Namespace, tokens: float) -> None:
    """Raises RecipeError for what a single recipe cannot have, or does not heed."""
    from thinkwright.planning.expected import Expected, check_expected

    if hasattr(recipe, "rollout"):
        check_expected(recipe, Expected(tokens, options.learned_share))
        if options.rows is not None:
            raise RecipeError(f"--rows: no effect on a stage of type {recipe.type}, which samples its own; remove it")
    elif options.learned_share is not None:
        raise RecipeError(f"--learned-share: no effect on a stage of type {recipe.type}; remove it")


def _print_plan(console: "Console", plan: "Plan") -> None:
    from thinkwright.planning.plan_table import cost_lines, fit_lines, headline, memory_table, time_table

    console.print(headline(plan), highlight=False, soft_wrap=True)
    if plan.memory:
        console.print(memory_table(plan))
        for line in fit_lines(plan):
            console.print(line, highlight=False, soft_wrap=True)
    console.print(time_table(plan))
    for line in cost_lines(plan):
        console.print(line, highlight=False, soft_wrap=True)


def _simulate(options: argparse.Namespace) -> int:
    if min(options.devices) < 2 or min(options.staleness) < 0:
        raise RecipeError(
            "simulate needs --devices of 2 or more (some sample, some train), and --staleness of 0 or more"
        )

    from thinkwright.display import console_of_tables
    from thinkwright.planning.phases import measure
    from thinkwright.planning.table import check_line, gain_table

    run = measure(options.run)
    console = console_of_tables()
    console.print(str(run.phases), highlight=False)
    console.print(check_line(run), highlight=False)
    console.print(gain_table(run, options.devices, options.staleness, options.prompts))
    return 0
