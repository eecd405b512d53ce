"""What the run was made with: recipe, seed, machine, versions, command."""

import json
import shlex
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from thinkwright.config.kinds import RECIPES
from thinkwright.config.recipe import RLRecipe
from thinkwright.report.series import Row, Run
from thinkwright.report.text import escape

_MAX_VALUE = 2_000  # characters of a setting that are shown


def settings_section(run: Run) -> str:
    """The facts of the machine, the command, and every setting with its meaning."""
    parts = [_facts(run), _command(run.environment)]
    if run.recipe:
        known = meanings_of(run)
        rows = "".join(
            f"<tr><th scope=row><code>{escape(key)}</code></th><td>{_value(value)}</td>"
            f"<td>{escape(known.get(key, ''))}</td></tr>"
            for key, value in flat(run.recipe)
        )
        parts.append(
            '<details class="recipe"><summary>The recipe, setting by setting</summary><div class="scroll">'
            f"<table class=settings><tbody>{rows}</tbody></table></div></details>"
        )
    return "".join(parts)


def _value(told: str) -> str:
    return "not set" if told == "null" else f"<code>{escape(told[:_MAX_VALUE])}</code>"


def meanings_of(run: Run) -> dict[str, str]:
    """What each setting of the run's recipe means, by its dotted key."""
    kinds = {name: kind for kind in RECIPES for name in get_args(kind.model_fields["type"].annotation)}
    return meanings(kinds.get(run.stage, RLRecipe))


def meanings(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """The documentation of each setting by its dotted key."""
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        found[f"{prefix}{name}"] = (field.description or "").replace("``", "").replace("\n", " ")
        for section in _sections(field.annotation):
            found |= meanings(section, f"{prefix}{name}.")
    return found


def flat(settings: Row, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every setting as (dotted key, value), values as they read in JSON, text without quotes."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for part in get_args(annotation):
            yield from _sections(part)


def _facts(run: Run) -> str:
    environment, machine = run.environment, run.environment.get("machine") or {}
    memory = machine.get("memory_bytes")
    versions = environment.get("versions") or {}
    facts = {
        "Model": None if run.is_pretraining else run.setting("model"),
        "Seed": run.summary.get("seed", run.setting("seed")),
        "Models evaluated"
        if run.stage == "evaluate"
        else "Steps done": f"{run.num_steps:,} of {run.planned_steps or '?'}",
        "Tokens sampled": f"{run.summary['rollout_tokens']:,}" if "rollout_tokens" in run.summary else None,
        "Status": run.summary.get("status", "no summary yet"),
        "Started": environment.get("started"),
        "Processor": _joined(machine.get("cpu"), f"{machine['cores']} cores" if "cores" in machine else None),
        "Memory": f"{memory / 2**30:.0f} GiB" if memory else None,
        "System": machine.get("platform"),
        "Computed on": _joined(
            environment.get("device"),
            environment.get("dtype"),
            f"{environment['threads']} threads" if environment.get("threads") else None,
        ),
        "Python": environment.get("python"),
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()) or None,
        "Git revision": environment.get("git"),
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value is not None)
    return f"<dl class=facts>{rows}</dl>"


def _command(environment: Row) -> str:
    argv = environment.get("argv")
    if not argv:
        return ""
    line = shlex.join(map(str, argv)) if isinstance(argv, list) else str(argv)
    return f"<h3>Command</h3><pre class=command>{escape(line)}</pre>"


def _joined(*parts: Any) -> str | None:
    return ", ".join(str(part) for part in parts if part) or None
