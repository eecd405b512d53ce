"""pass@k and votes over k, models side by side."""

from pathlib import Path
from typing import Any

from tests.report.conftest import write_json
from thinkwright.report.series import read_run
from thinkwright.report.several_samples import several_samples


def measured(model: str, ks: tuple[int, ...], **more: Any) -> dict[str, Any]:
    free: dict[str, Any] = {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6}
    for k in ks:
        for kind, value in (("pass_at", 0.9), ("cons_at", 0.7)):
            free |= {f"{kind}_{k}": value, f"{kind}_{k}_low": value - 0.1, f"{kind}_{k}_high": value + 0.1}
    return {"model": model, "suite": "tiny_world", "figures": {"free": free}} | more


def put(run_folder: Path, row: dict[str, Any]) -> None:
    write_json(run_folder / "eval" / row["model"].replace("<", "_") / row["suite"] / "figures.json", row)


def test_each_model_has_a_point_for_each_k(run_folder: Path) -> None:
    put(run_folder, measured("R1<b>", (2, 4, 8)))
    put(run_folder, measured("base", (2, 4, 8)))
    page = several_samples(read_run(run_folder))
    assert page.count("<figure") == 1
    assert page.count("<title>") == 2 * 2 * 4  # models, kinds, k = 1, 2, 4, 8
    assert "R1&lt;b&gt;, one of k right (pass@k)\nk = 8\n90%" in page
    assert "R1<b>" not in page


def test_too_few_samples_or_broken_figures_draw_nothing(run_folder: Path) -> None:
    put(run_folder, measured("few", (2,)))
    put(run_folder, measured("broken", (2, 4), figures=["free"]))
    put(run_folder, measured("nothing", (), figures={"free": None}))
    assert several_samples(read_run(run_folder)) == ""
