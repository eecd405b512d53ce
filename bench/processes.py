"""Arms as processes: started, asked for one repetition at a time, watched while idle, ended."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
THREADS = 2
LOAD_SECONDS = 600
"""An arm's time to load; vLLM compiles."""
REPETITION_SECONDS = 900
LEAVE_SECONDS = 60


class ArmError(Exception):
    """An arm ended, took too long or did other work than asked."""


@dataclass(frozen=True)
class Arm:
    """How to start one of the programs under ``bench/arms``."""

    environment: str
    """Folder of its virtual environment, under the project's root."""
    module: str
    arguments: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)


class RunningArm:
    """One started arm. It leads a session of its own, by which its helper processes are found."""

    def __init__(self, name: str, arm: Arm, workload: Path, log: Path) -> None:
        python = ROOT / arm.environment / "bin" / "python"
        if not python.exists():
            raise ArmError(f"{name}: {python} is missing; run bench/make_envs.sh")
        log.parent.mkdir(parents=True, exist_ok=True)
        shared = {"OMP_NUM_THREADS": str(THREADS), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        self.name, self.log = name, log
        with log.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                [str(python), "-m", arm.module, str(workload), *arm.arguments],
                cwd=ROOT,
                env={**os.environ, **shared, **arm.variables},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )

    def wait_until_ready(self) -> dict[str, Any]:
        """Settings and versions, as the arm reports them once it has loaded."""
        return self._answer(LOAD_SECONDS, "to load")

    def repeat(self, *, measures_memory: bool = False) -> dict[str, Any]:
        """One repetition's figures."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"measures_memory": measures_memory}) + "\n")
        self._process.stdin.flush()
        return self._answer(REPETITION_SECONDS, "for one repetition")

    def cpu_seconds(self) -> float:
        """Processor time that the arm has used so far, its helper processes with it."""
        return session_cpu_seconds(self._process.pid)

    def peak_bytes(self) -> int:
        """Sum of the greatest resident memory of each of its processes."""
        total = 0
        for pid in session_stat_fields(self._process.pid):
            lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
        return total

    def end(self) -> None:
        """Close its input and wait for it to leave; what is left of its session is killed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LEAVE_SECONDS)
        for pid in session_stat_fields(self._process.pid):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _answer(self, seconds: float, purpose: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        is_readable, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not is_readable:
            raise ArmError(f"{self.name}: waited {seconds} s {purpose}; see {self.log}")
        line = self._process.stdout.readline()
        if not line:
            raise ArmError(f"{self.name}: ended when it was waited for {purpose}; see {self.log}")
        return json.loads(line)


def session_stat_fields(leader: int) -> dict[int, list[str]]:
    """Of each live process of a session, the fields of its stat file from the state on."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found[int(path.parent.name)] = fields
    return found


def session_cpu_seconds(leader: int) -> float:
    """Processor time that a session's live processes have used so far."""
    ticks = sum(int(fields[11]) + int(fields[12]) for fields in session_stat_fields(leader).values())
    return ticks / os.sysconf("SC_CLK_TCK")


def idle_core_shares(arms: list[RunningArm], seconds: float) -> dict[str, float]:
    """Share of one core that each arm uses while none has been asked for anything."""
    before = [arm.cpu_seconds() for arm in arms]
    time.sleep(seconds)
    return {arm.name: (arm.cpu_seconds() - used) / seconds for arm, used in zip(arms, before, strict=True)}


def system_cpu_seconds() -> float:
    """Processor time that everything on the machine has used since it started."""
    fields = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()
    user, nice, system, _, _, irq, softirq = map(int, fields[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
