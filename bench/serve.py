"""64 clients against each server of the same model: ``python -m bench.serve`` (``make bench-serve``).

Ours, llama.cpp's (in xllamacpp) and vLLM's CPU build, in turns on the same two cores, which the clients share. All get
the tiny world's held-out questions as streamed chats at temperature 0; every reply is compared with what the same
server said when it was asked the question alone. Writes ``build/bench/serve.json`` and prints a table.

``--soak`` runs ours alone and fails if its memory grows by more than 5 % between the warm-up and the end.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from bench.compare import WORK, measured_facts
from bench.processes import ROOT, THREADS, ArmError, system_cpu_seconds
from bench.servers import OURS, Models, ServerArm, free_port, running_server, server_arms

CLIENTS, MAX_TOKENS, WARMUP_SECONDS = 64, 192, 5.0
MAX_GROWTH = 0.05
"""Of the server's memory in a soak."""
TARGETS = {"llama.cpp": 2.0, "vllm": 1.5}
"""How many times their tokens per second ours are to be."""
_TAGS = re.compile(r"</?(think|answer)>|\s+")


def export(run: Path, folder: Path) -> Models:
    """The run's model as the other servers read it."""
    if not (run / "model").is_dir():
        raise ArmError(f"{run} is no finished run; make it with make demo, or name another with --run")
    for target in ("gguf", "hf"):
        made = folder / target / "README.md"
        if made.exists() and made.stat().st_mtime > (run / "model").stat().st_mtime:
            continue
        shutil.rmtree(folder / target, ignore_errors=True)
        command = [str(OURS), "-m", "thinkwright", "export", str(run), "--to", target, "--out", str(folder / target)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return Models(run, next((folder / "gguf").glob("*.gguf")), folder / "hf")


def questions(count: int) -> list[str]:
    """Held-out ones, evenly from all families, levels and languages."""
    from thinkwright.config.tasks import TinyWorldTask
    from thinkwright.tasks.prompts import load_task

    found = list(dict.fromkeys(p.question for p in load_task(TinyWorldTask(type="tiny_world")).all_prompts()))
    return found[:: max(1, len(found) // count)][:count]


def measure(name: str, arm: ServerArm, port: int, plan: dict[str, Any]) -> dict[str, Any]:
    """One server under load."""
    paths = WORK / f"serve-plan-{name}.json", WORK / f"serve-seen-{name}.json"
    with running_server(name, arm, port, WORK / "logs" / f"serve-{name}.log") as server:
        plan = {**plan, "address": server.address, "model": server.model}
        paths[0].write_text(json.dumps(plan, ensure_ascii=False), encoding="utf-8")
        command = [str(OURS), "-m", "bench.serve_client", *map(str, paths)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as client:
            marks = []
            for _ in ("begin", "end"):
                assert client.stdout is not None
                if not client.stdout.readline():
                    raise ArmError(f"{name}: the clients failed")
                marks.append((server.cpu_seconds(), system_cpu_seconds(), server.resident_bytes()))
        if client.returncode:
            raise ArmError(f"{name}: the clients failed")
    seen = json.loads(paths[1].read_text(encoding="utf-8"))
    (cpu, system, memory), (cpu_after, system_after, memory_after) = marks
    cores = {"server": (cpu_after - cpu) / plan["seconds"], "all": (system_after - system) / plan["seconds"]}
    return {**seen, "cores": cores, "resident_bytes": [memory, memory_after], "seconds": plan["seconds"]}


def merged(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """One server's rounds as if they had been one."""
    first, count = rounds[0], len(rounds)
    return {
        "tokens": sum(seen["tokens"] for seen in rounds),
        "seconds": sum(seen["seconds"] for seen in rounds),
        "kinds": dict(sum((Counter(seen["kinds"]) for seen in rounds), Counter())),
        "first_token_seconds": [value for seen in rounds for value in seen["first_token_seconds"]],
        "expected": first["expected"],
        "cores": {name: sum(seen["cores"][name] for seen in rounds) / count for name in first["cores"]},
        "client_core_share": sum(seen["client_core_share"] for seen in rounds) / count,
        "resident_bytes": [first["resident_bytes"][0], rounds[-1]["resident_bytes"][1]],
        "round_tokens_per_second": [seen["tokens"] / seen["seconds"] for seen in rounds],
    }


def summarize(seen: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """The figures of one server's row."""
    times = sorted(seen["first_token_seconds"])
    pairs = list(zip(seen["expected"], ours["expected"], strict=True))
    return {
        "tokens_per_second": seen["tokens"] / seen["seconds"],
        "round_tokens_per_second": seen["round_tokens_per_second"],
        "first_token_p50": times[len(times) // 2] if times else float("nan"),
        "first_token_p99": times[int(len(times) * 0.99)] if times else float("nan"),
        **{kind: seen["kinds"].get(kind, 0) for kind in ("right", "other", "mixed_up", "error")},
        "as_ours": sum(_bare(a) == _bare(b) for a, b in pairs) / len(pairs),
        "server_cores": seen["cores"]["server"],
        "client_cores": seen["client_core_share"],
        "other_cores": seen["cores"]["all"] - seen["cores"]["server"] - seen["client_core_share"],
        "mib": [value / 2**20 for value in seen["resident_bytes"]],
    }


def _bare(reply: dict[str, Any]) -> str:
    """Some servers leave tags in the text."""
    return _TAGS.sub("", reply["thought"] + reply["answer"])


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| server | tokens/s | first token p50, p99 (ms) | replies as alone | others | mixed up | errors "
        "| replies as ours | cores: server, clients, others | memory (MiB) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        first = f"{1000 * row['first_token_p50']:.0f}, {1000 * row['first_token_p99']:.0f}"
        cores = f"{row['server_cores']:.2f}, {row['client_cores']:.2f}, {row['other_cores']:.2f}"
        lines.append(
            f"| {name} | {row['tokens_per_second']:.0f} | {first} | {row['right']} | {row['other']} "
            f"| {row['mixed_up']} | {row['error']} | {row['as_ours']:.0%} | {cores} "
            f"| {row['mib'][0]:.0f} to {row['mib'][1]:.0f} |"
        )
    return "\n".join(lines)


def verdicts(rows: dict[str, dict[str, Any]], is_soak: bool) -> list[tuple[str, bool]]:
    """What was promised, and whether it is kept."""
    ours = rows["thinkwright"]
    found = [("every reply of ours is that to its question", not (ours["other"] + ours["mixed_up"] + ours["error"]))]
    for name, factor in TARGETS.items():
        if name in rows:
            ratio = ours["tokens_per_second"] / rows[name]["tokens_per_second"]
            pairs = zip(ours["round_tokens_per_second"], rows[name]["round_tokens_per_second"], strict=True)
            each = ", ".join(f"{mine / other:.2f}" for mine, other in pairs)
            found.append((f"{factor:g} times {name}'s tokens per second ({ratio:.2f}; {each})", ratio >= factor))
    if is_soak:
        growth = ours["mib"][1] / ours["mib"][0] - 1
        found.append((f"memory grows by at most {MAX_GROWTH:.0%} ({growth:+.1%})", growth <= MAX_GROWTH))
    return found


def main() -> int:
    """Everything; 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "demo")
    parser.add_argument("--seconds", type=float, default=100, help="of each server in each round")
    parser.add_argument("--rounds", type=int, default=3, help="in which the servers take turns; machines change")
    parser.add_argument("--questions", type=int, default=128)
    parser.add_argument("--arms", nargs="+", choices=("thinkwright", *TARGETS), default=["thinkwright", *TARGETS])
    parser.add_argument("--threads", type=int, default=THREADS, help="of each server")
    parser.add_argument("--soak", action="store_true", help="ours alone, and its memory")
    parser.add_argument("--out", type=Path, default=WORK / "serve.json")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers are ended on the way out
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    models, port = export(options.run, WORK / "serve"), free_port()
    plan = {
        "questions": questions(options.questions),
        "clients": CLIENTS,
        "max_tokens": MAX_TOKENS,
        "warmup_seconds": WARMUP_SECONDS,
        "seconds": options.seconds,
    }
    chosen = ["thinkwright"] if options.soak else options.arms
    if options.soak:  # one server all the time
        options.rounds, options.seconds = 1, options.rounds * options.seconds
        plan["seconds"] = options.seconds
    arms = server_arms(models, CLIENTS, port, options.threads)
    machine = measured_facts()
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for _ in range(options.rounds):
        for name in chosen:
            rounds[name].append(measure(name, arms[name], port, plan))
            speed = rounds[name][-1]["tokens"] / options.seconds
            print(f"{name}: {speed:.0f} tokens/s", file=sys.stderr, flush=True)
    seen = {name: merged(found) for name, found in rounds.items()}
    rows = {name: summarize(found, seen[chosen[0]]) for name, found in seen.items()}
    results = {"machine": machine, "rows": rows, "seen": seen}
    options.out.write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")
    said = f"{CLIENTS} clients, {options.rounds} times {options.seconds:g} s, {len(plan['questions'])} questions"
    print(f"{said}\n\n{table(rows)}\n")
    found = verdicts(rows, options.soak) if "thinkwright" in rows else []
    for promise, is_kept in found:
        print(f"{'kept' if is_kept else 'NOT KEPT'}: {promise}")
    return 0 if all(is_kept for _, is_kept in found) else 1


if __name__ == "__main__":
    sys.exit(main())
