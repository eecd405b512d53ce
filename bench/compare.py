"""Measures all arms on the workloads, alternating: ``python -m bench.compare --out build/bench/results.json``.

Within a workload all arms are loaded and warmed up first; then, for each repeat, every arm does one repetition while
the others wait for their turn. Prints one table per workload and the targets; the JSON has every single time.
"""

import argparse
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from bench.floors import floors
from bench.processes import ROOT, THREADS, Arm, ArmError, RunningArm, idle_core_shares, system_cpu_seconds
from bench.summary import summarize
from bench.tables import targets_table, workload_table
from bench.workloads import PLANS, Workload, read_workload

OURS = ".venv"
TRL = ".venv-bench-trl"
VLLM = ".venv-bench-vllm"
WORK = ROOT / "build" / "bench"
# In one process and bound to the cores: with an engine and a worker process beside it, three share two cores.
VLLM_VARIABLES = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": f"0-{THREADS - 1}",
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_CACHE_ROOT": str(WORK / "vllm-cache"),
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}


def arms(dtype: str) -> dict[str, Arm]:
    """All arms by name; transformers' own rollouts run in the dtype that this machine multiplies fastest in."""
    return {
        "ours": Arm(OURS, "bench.arms.ours"),
        "vllm": Arm(VLLM, "bench.arms.vllm_rollouts", variables=VLLM_VARIABLES),
        "generate": Arm(TRL, "bench.arms.hf_generate", ("--dtype", dtype)),
        "generate_batch": Arm(TRL, "bench.arms.hf_continuous", ("--dtype", dtype)),
        "trl": Arm(TRL, "bench.arms.trl_step", ("--setting", "tuned")),
        "trl_bf16": Arm(TRL, "bench.arms.trl_step", ("--setting", "tuned_bf16")),
        "trl_box": Arm(TRL, "bench.arms.trl_step", ("--setting", "box")),
        "trl_continuous": Arm(TRL, "bench.arms.trl_step", ("--setting", "continuous")),
    }


IDLE_SECONDS = 5.0
MAX_IDLE_SHARE = 0.05
"""Share of a core that all waiting arms together may use before the run is refused."""


ARM_NAMES = tuple(arms("float32"))
DEFAULT_ARMS = {
    "1": ("ours", "vllm", "generate", "trl", "trl_bf16", "trl_box"),
    "2": ("ours", "vllm", "generate", "generate_batch", "trl"),
    "3": ("ours", "trl"),
    "tiny": ARM_NAMES,
}


def measured_facts() -> dict[str, Any]:
    """The machine's facts, measured in the project's own environment."""
    return json.loads(_run_ours("bench.machine", "the machine's speed"))


def _run_ours(module: str, purpose: str, *arguments: str) -> str:
    """Standard output of a module that ends by itself."""
    command = [str(ROOT / OURS / "bin" / "python"), "-m", module, *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    except subprocess.TimeoutExpired as error:
        raise ArmError(f"waited 300 s for {purpose} ({module})") from error
    return done.stdout


def compare(workload: Workload, path: Path, chosen: dict[str, Arm], repeats: int) -> dict[str, Any]:
    """Every answer of every arm on one workload, and what the arms said of themselves."""
    running: list[RunningArm] = []
    try:
        about = {}
        for name, arm in chosen.items():
            running.append(RunningArm(name, arm, path, WORK / "logs" / f"{workload.name}-{name}.log"))
            about[name] = running[-1].wait_until_ready()
            running[-1].repeat()
        idle = idle_core_shares(running, IDLE_SECONDS)
        if sum(idle.values()) > MAX_IDLE_SHARE:
            raise ArmError(f"waiting arms use the processor (share of a core: {idle})")
        answers: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
        start, others = time.monotonic(), _cpu_seconds_of_others(running)
        for i in range(repeats):
            is_last = i == repeats - 1
            # Measuring what the update adds sets the peaks of the processes back, so they are read before and after.
            peaks = {arm.name: arm.peak_bytes() for arm in running} if is_last else {}
            for arm in running[i % len(running) :] + running[: i % len(running)]:
                answers[arm.name].append(_checked(arm.name, arm.repeat(measures_memory=is_last), workload))
            print(f"workload {workload.name}: repeat {i + 1} of {repeats} at {time.strftime('%H:%M:%S')}", flush=True)
        others_share = (_cpu_seconds_of_others(running) - others) / (time.monotonic() - start)
        peaks = {arm.name: max(peaks[arm.name], arm.peak_bytes()) for arm in running}
    finally:
        for arm in running:
            arm.end()
    return {
        "about": about,
        "idle_core_share": idle,
        "others_core_share": others_share,
        "answers": answers,
        "peak_rss_bytes": peaks,
    }


def _cpu_seconds_of_others(arms: list[RunningArm]) -> float:
    """Processor time that the machine has spent on anything but the arms."""
    return system_cpu_seconds() - sum(arm.cpu_seconds() for arm in arms)


def _checked(name: str, answer: dict[str, Any], workload: Workload) -> dict[str, Any]:
    if answer["tokens"] != workload.num_tokens:
        raise ArmError(f"{name} sampled {answer['tokens']} tokens where the workload has {workload.num_tokens}")
    return answer


def main() -> None:
    """The whole benchmark, or the part of it that the options choose."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", nargs="+", choices=tuple(PLANS), default=["1", "2", "3"])
    parser.add_argument("--arms", nargs="+", choices=ARM_NAMES, help="default: those that the targets need")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=WORK / "results.json")
    options = parser.parse_args()
    _run_ours("bench.make_workloads", "models and prompts", str(WORK), *options.workload)
    machine = measured_facts()
    known = arms("bfloat16" if machine["bf16_gflops"] > machine["fp32_gflops"] else "float32")
    results: dict[str, Any] = {"machine": machine, "workloads": {}}
    for name in options.workload:
        path = WORK / f"workload-{name}.json"
        workload = read_workload(path)
        chosen = {arm: known[arm] for arm in options.arms or DEFAULT_ARMS[name]}
        raw = compare(workload, path, chosen, options.repeats)
        floor = floors(workload, machine["bf16_gflops"], machine["memory_gb_per_second"])
        results["workloads"][name] = {**raw, "floor": floor, "summary": summarize(workload, raw, floor)}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")
        print(workload_table(workload, results["workloads"][name]), flush=True)
    print(targets_table(results["workloads"]))
    print(f"machine: {json.dumps(machine)}\nresults: {options.out}")


if __name__ == "__main__":
    main()
