"""From single times to figures: medians with their range, and ratios taken within each repeat."""

from statistics import median
from typing import Any

from bench.workloads import Workload

PARTS = ("rollout", "update", "step")


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def summarize(workload: Workload, raw: dict[str, Any], floor: dict[str, float]) -> dict[str, Any]:
    """Figures of each arm by name: times, rates, ratios to ours, shares of the floor, memory."""
    return {
        name: _arm_summary(workload, name, raw, floor) | {"ratios": ratios(raw["answers"], name)}
        for name in raw["answers"]
    }


def ratios(answers: dict[str, list[dict[str, Any]]], name: str) -> dict[str, dict[str, float]]:
    """How many times as long as ours the arm takes for each part, within each repeat."""
    if "ours" not in answers or name == "ours":
        return {}
    pairs = list(zip(answers[name], answers["ours"], strict=True))
    keys = [f"{part}_seconds" for part in PARTS]
    return {key: spread([theirs[key] / ours[key] for theirs, ours in pairs]) for key in keys if key in pairs[0][0]}


def _arm_summary(workload: Workload, name: str, raw: dict[str, Any], floor: dict[str, float]) -> dict[str, Any]:
    answers = raw["answers"][name]
    keys = [f"{part}_seconds" for part in PARTS if f"{part}_seconds" in answers[0]]
    figures: dict[str, Any] = {key: spread([answer[key] for answer in answers]) for key in keys}
    whole = figures.get("step_seconds", figures["rollout_seconds"])["median"]
    figures["prompts_per_second"] = len(workload.prompts) / whole
    figures["rollout_tokens_per_second"] = workload.num_tokens / figures["rollout_seconds"]["median"]
    figures["rollout_floor_share"] = floor["rollout_product_seconds"] / figures["rollout_seconds"]["median"]
    figures["peak_rss_bytes"] = raw["peak_rss_bytes"][name]
    if "update_seconds" in figures:
        figures["update_tokens_per_second"] = workload.num_tokens / figures["update_seconds"]["median"]
        figures["update_floor_share"] = floor["update_product_seconds"] / figures["update_seconds"]["median"]
        figures["steps_per_second"] = 1 / whole
    last = answers[-1]  # The repeat in which memory is measured, by arms that have an update.
    return figures | {key: last[key] for key in ("update_peak_rss_bytes", "update_added_bytes") if key in last}
