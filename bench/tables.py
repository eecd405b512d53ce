"""The tables that a run prints, in Markdown."""

from dataclasses import dataclass
from typing import Any

from bench.workloads import Workload

COLUMNS = {
    "arm": "arm",
    "prompts_per_second": "prompts/s",
    "rollout_tokens_per_second": "rollout tok/s",
    "update_tokens_per_second": "update tok/s",
    "step_seconds": "s/step (range)",
    "steps_per_second": "steps/s",
    "peak_rss_bytes": "peak MB",
    "update_added_bytes": "update adds MB",
    "rollout_floor_share": "rollout floor",
    "update_floor_share": "update floor",
    "ratios": "ours is faster: rollout / update / step",
}


@dataclass(frozen=True)
class Target:
    """A figure that ours must reach on a workload."""

    text: str
    workload: str
    arm: str
    figure: str
    bound: float
    """At least this; for ``update_added_bytes``, ours over theirs, at most this."""


TARGETS = (
    Target("rollout tokens/s against vLLM", "1", "vllm", "rollout_seconds", 3),
    Target("rollout tokens/s against vLLM", "2", "vllm", "rollout_seconds", 3),
    Target("rollout tokens/s against transformers generate", "2", "generate", "rollout_seconds", 6),
    Target("rollout tokens/s against transformers generate_batch", "2", "generate_batch", "rollout_seconds", 10),
    Target("whole step against TRL tuned", "1", "trl", "step_seconds", 12),
    Target("whole step against TRL out of the box", "1", "trl_box", "step_seconds", 20),
    Target("whole step against TRL tuned", "2", "trl", "step_seconds", 20),
    Target("memory that the update adds, of TRL's", "3", "trl", "update_added_bytes", 1 / 3),
    Target("share of the matrix-product floor, rollouts", "1", "ours", "rollout_floor_share", 0.25),
    Target("share of the matrix-product floor, update", "1", "ours", "update_floor_share", 0.40),
)


def workload_table(workload: Workload, result: dict[str, Any]) -> str:
    """One row per arm."""
    floor = result["floor"]
    lines = [
        f"\n## Workload {workload.name}: {len(workload.prompts)} prompts x {workload.group_size}, "
        f"{workload.num_tokens} tokens, vocabulary {workload.shape.vocab_size}",
        "floor, seconds: "
        + ", ".join(f"{key.removesuffix('_seconds').replace('_', ' ')} {value:.3f}" for key, value in floor.items()),
        f"used by other programs meanwhile, share of a core: {result['others_core_share']:.1%}",
        "",
        "| " + " | ".join(COLUMNS.values()) + " |",
        "|" + "---|" * len(COLUMNS),
    ]
    rows = [{"arm": name, **figures} for name, figures in result["summary"].items()]
    return "\n".join(lines + ["| " + " | ".join(_cell(row, key) for key in COLUMNS) + " |" for row in rows])


def _cell(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if not value:
        return "-"
    if key == "ratios":
        return " / ".join(f"{part['median']:.1f}" for part in value.values())
    if isinstance(value, dict):
        return f"{value['median']:.2f} ({value['min']:.2f}-{value['max']:.2f})"
    if key.endswith("_bytes"):
        return f"{value / 1e6:,.0f}"
    if key.endswith("_share"):
        return f"{value:.1%}"
    return value if isinstance(value, str) else f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def targets_table(results: dict[str, Any]) -> str:
    """What was to be reached, what was, and whether it is enough; targets that were not measured are left out."""
    lines = ["\n## Targets", "| figure | workload | to reach | reached | |", "|---|---|---|---|---|"]
    for target in TARGETS:
        summary = results.get(target.workload, {}).get("summary", {})
        if "ours" in summary and target.arm in summary:
            lines.append(_target_row(target, summary))
    return "\n".join(lines)


def _target_row(target: Target, summary: dict[str, Any]) -> str:
    if target.figure == "update_added_bytes":
        value = summary["ours"][target.figure] / summary[target.arm][target.figure]
        asked, reached, passes = f"<= {target.bound:.2f}", f"{value:.2f}", value <= target.bound
    elif target.arm == "ours":
        value = summary["ours"][target.figure]
        asked, reached, passes = f">= {target.bound:.0%}", f"{value:.1%}", value >= target.bound
    else:
        ratio = summary[target.arm]["ratios"][target.figure]
        asked, passes = f">= {target.bound:g}x", ratio["median"] >= target.bound
        reached = f"{ratio['median']:.1f}x ({ratio['min']:.1f}-{ratio['max']:.1f})"
    return f"| {target.text} | {target.workload} | {asked} | {reached} | {'pass' if passes else 'MISS'} |"
