"""Do the tests notice when the code is wrong? Small faults are put into it one at a time; the share that is found.

Run from the repository's root: ``make mutants``. The faults are mutmut's (a comparison turned, a number one higher, an
argument left out, ...), one at a time, in a process forked from one that has collected all tests, and in a copy of the
repository, so that workers and sandboxed programs run them too. Against each run the tests that reach its line, the
quickest first, or those that ``pyproject.toml`` names for code of other processes; a fault is killed if one fails or
takes too long. Left out: the words of error messages, ``cast``, and what mutmut leaves out (module level, annotations,
decorated functions, text in f-strings). Results lie in ``build/mutants``.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from difflib import unified_diff
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import psutil
import pytest

ROOT = Path.cwd()
OUT = ROOT / "build" / "mutants"
TREE = OUT / "tree"
LOG = OUT / "last.log"
"""What the last run of the tests wrote."""
SLOW_SECONDS = 5.0
"""A test that takes more processor time is not run for faults."""
BUDGET_SECONDS = 15.0
"""A fault that the tests begun within this processor time do not find has survived."""
HANG_SECONDS = 120.0
"""A fault whose tests take longer is killed, as is one with a test that takes four times ``SLOW_SECONDS``."""


@dataclass(frozen=True)
class Mutant:
    """A file with one fault."""

    file: str
    line: int
    function: str
    lines: range
    """Of the function."""
    number: int
    """Among the faults of its file."""
    render: Callable[[], str]
    """The whole file."""

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line}:{self.number}"


@dataclass(frozen=True)
class Area:
    """What ``pyproject.toml`` says of a part of the code."""

    files: list[str]
    tests: list[str]
    elsewhere: list[str] = field(default_factory=list)
    """Areas whose files are no part of this one."""
    sample: int = 0
    """So many faults drawn at random; 0: all."""
    processes: dict[str, list[str]] = field(default_factory=dict)
    """Tests of files that run in other processes."""


def main() -> None:
    with open("pyproject.toml", "rb") as file:
        areas = {name: Area(**table) for name, table in tomllib.load(file)["tool"]["mutants"].items()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("areas", nargs="*", help=f"of {', '.join(areas)}; all of them without any")
    parser.add_argument("--files", nargs="+", help="faults of these files alone, all of them")
    parser.add_argument("--tests", nargs="+", help="these alone")
    parser.add_argument("--sample", type=int, help="so many faults instead of the number in pyproject.toml; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--survivors", action="store_true", help="only faults that survived the last time")
    options = parser.parse_args()
    chosen = {name: areas[name] for name in options.areas or areas}
    mutants = {name: chosen_mutants(name, areas, options) for name in chosen}
    named = [test for area in chosen.values() for tests in (area.tests, *area.processes.values()) for test in tests]
    copy_tree()
    trial = Trial(chosen, mutants, sys.stdout)
    arguments = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-profile=ci"]
    pytest.main([*arguments, *(options.tests or dict.fromkeys(named))], plugins=[trial])
    sys.exit(not trial.is_done)


def chosen_mutants(name: str, areas: dict[str, Area], options: argparse.Namespace) -> list[Mutant]:
    area = areas[name]
    elsewhere = {file for other in area.elsewhere for file in files_of(areas[other])}
    files = [file for file in files_of(area) if file not in elsewhere]
    mutants = [mutant for file in files if file in (options.files or files) for mutant in mutants_of(file)]
    size = options.sample if options.sample is not None else 0 if options.files else area.sample
    if 0 < size < len(mutants):
        mutants = [mutants[i] for i in sorted(random.Random(options.seed).sample(range(len(mutants)), size))]
    if options.survivors:
        rows = map(json.loads, (OUT / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())
        before = {row["name"] for row in rows if row["outcome"] in ("survived", "not reached")}
        mutants = [mutant for mutant in mutants if mutant.name in before]
    return mutants


def files_of(area: Area) -> list[str]:
    return sorted(str(path) for pattern in area.files for path in Path().glob(pattern))


def copy_tree() -> None:
    """What git knows and does not ignore; from here on it is what is imported."""
    shutil.rmtree(TREE, ignore_errors=True)
    TREE.mkdir(parents=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True, check=True
    )
    for file in filter(os.path.exists, listed.stdout.splitlines()):
        (TREE / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, TREE / file)
    os.environ.setdefault("THINKWRIGHT_DATA", str(ROOT.parent / "shared" / "data"))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TREE), os.environ.get("PYTHONPATH", "")])
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # else what was compiled of one fault could be taken for another's
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # processes are forked
    sys.dont_write_bytecode = True
    sys.path[:] = [str(TREE), *(os.path.abspath(entry) for entry in sys.path if os.path.abspath(entry) != str(ROOT))]
    os.chdir(TREE)


class Trial:
    """In place of running the collected tests: every fault's tests, each in a process of its own."""

    def __init__(self, areas: dict[str, Area], mutants: dict[str, list[Mutant]], out: Any) -> None:
        self.areas = areas
        self.mutants = mutants
        self.out = out
        self.is_done = False
        self.seconds: dict[str, float] = {}
        self.reach: dict[str, dict[int, list[str]]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        self.measure(session)
        for name in self.areas:
            with open(OUT / f"{name}.jsonl", "w", encoding="utf-8") as store:
                self.try_area(session, name, store)
        self.is_done = True
        return True

    def try_area(self, session: pytest.Session, name: str, store: TextIO) -> None:
        counts: Counter[str] = Counter()
        for number, mutant in enumerate(self.mutants[name], 1):
            start = time.monotonic()
            before, text = (ROOT / mutant.file).read_text(encoding="utf-8"), mutant.render()
            is_fault = text != before and compiles(text)
            outcome = self.outcome(session, mutant, text, self.areas[name]) if is_fault else "no fault"
            counts[outcome] += 1
            lines = list(unified_diff(before.splitlines(), text.splitlines(), lineterm="", n=0))
            row = {"name": mutant.name, "outcome": outcome, "seconds": round(time.monotonic() - start, 2)}
            row["diff"] = "\n".join(lines[3:])
            print(json.dumps(row), file=store, flush=True)
            if outcome in ("survived", "not reached"):
                print(f"{outcome} {row['name']}\n{row['diff']}", file=self.out, flush=True)
            if number % 50 == 0:
                print(f"-- {name}: {number} of {len(self.mutants[name])}, {dict(counts)}", file=self.out, flush=True)
        killed, tried = counts["killed"] + counts["timeout"], counts.total() - counts["no fault"]
        share = f"{killed} of {tried} killed, {killed / max(1, tried):.1%}"
        print(f"{name}: {share} ({dict(counts)})", file=self.out, flush=True)

    def measure(self, session: pytest.Session) -> None:
        """For each line the tests that reach it in this process, the quickest first, and what each test takes."""
        import coverage

        data, times = OUT / "reach.coverage", OUT / "seconds.json"

        def run() -> int:
            measured = coverage.Coverage(data_file=str(data), source=["thinkwright"], config_file=False)
            measured.erase()
            measured.start()
            seconds: dict[str, float] = {}
            signal.signal(signal.SIGVTALRM, lambda *_: pytest.skip("too slow"))
            for item, following in zip(session.items, [*session.items[1:], None], strict=True):
                measured.switch_context(item.nodeid)
                start = time.process_time()
                run_item(item, following, SLOW_SECONDS)
                seconds[item.nodeid] = time.process_time() - start
                if session.testsfailed:
                    return 1
            measured.stop()
            measured.save()
            times.write_text(json.dumps(seconds), encoding="utf-8")
            return 0

        if in_child(run, 3600) != 0:
            raise session.Failed(f"the tests fail without any fault, see {LOG}")
        self.seconds = json.loads(times.read_text(encoding="utf-8"))
        found = coverage.CoverageData(str(data))
        found.read()
        for file in found.measured_files():
            lines = found.contexts_by_lineno(file)
            self.reach[os.path.relpath(file, TREE)] = {
                line: sorted(filter(None, names)) for line, names in lines.items()
            }

    def outcome(self, session: pytest.Session, mutant: Mutant, text: str, area: Area) -> str:
        if named := area.processes.get(mutant.file):
            items = [item for item in session.items if item.nodeid.startswith(tuple(named))]
        else:
            reach = self.reach.get(mutant.file, {})
            reaching = reach.get(mutant.line) or {test for line in mutant.lines for test in reach.get(line, ())}
            items = [item for item in session.items if item.nodeid in reaching]
        items = sorted(
            (item for item in items if self.seconds[item.nodeid] < SLOW_SECONDS), key=lambda x: self.seconds[x.nodeid]
        )
        if not items:
            return "not reached"
        place = TREE / mutant.file
        place.write_text(text, encoding="utf-8")

        def run() -> int:
            put_in(mutant, text)
            forget()
            signal.signal(signal.SIGVTALRM, lambda *_: os._exit(1))
            for item, following in zip(items, [*items[1:], None], strict=True):
                run_item(item, following, 4 * SLOW_SECONDS)
                if session.testsfailed:
                    return 1
                if time.process_time() > BUDGET_SECONDS:
                    break
            return 0

        status = in_child(run, HANG_SECONDS)
        shutil.copy2(ROOT / mutant.file, place)
        return "timeout" if status is None else "survived" if status == 0 else "killed"


def run_item(item: pytest.Item, following: pytest.Item | None, seconds: float) -> None:
    """With a signal after so much processor time."""
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def put_in(mutant: Mutant, text: str) -> None:
    """The fault into the function that is already imported, under whatever names it is held."""
    module = sys.modules.get(mutant.file.removesuffix(".py").replace("/", "."))
    if module is None:
        return
    namespace: dict[str, Any] = {"__name__": module.__name__, "__file__": module.__file__}
    exec(compile(text, str(module.__file__), "exec"), namespace)
    holder, _, name = mutant.function.rpartition(".")
    old, new = (vars(space[holder])[name] if holder else space[name] for space in (vars(module), namespace))
    old, new = (getattr(function, "__func__", function) for function in (old, new))
    old.__code__ = new.__code__
    old.__defaults__ = new.__defaults__
    for key, value in (new.__kwdefaults__ or {}).items():
        old.__kwdefaults__[key] = value


def forget() -> None:
    """What was remembered when the tests were collected, before the fault was there."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "thinkwright":
            for value in list(vars(module).values()):
                if callable(clear := getattr(value, "cache_clear", None)):
                    clear()


def in_child(work: Callable[[], int], seconds: float) -> int | None:
    """The exit status of what runs in a process of its own, None if it was ended after that time."""
    sys.stdout.flush()
    if (pid := os.fork()) == 0:
        status = 3
        try:
            log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            status = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    deadline = time.monotonic() + seconds
    process = psutil.Process(pid)
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    for child in [*process.children(recursive=True), process]:
        child.send_signal(signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def mutants_of(file: str) -> list[Mutant]:
    """Every fault in a function of the file."""
    import libcst as cst
    from libcst.metadata import MetadataWrapper, PositionProvider
    from mutmut.mutation.file_mutation import MutationVisitor
    from mutmut.mutation.mutators import mutation_operators
    from mutmut.mutation.pragma_handling import IgnoredCode

    code = Path(file).read_text(encoding="utf-8")
    wrapper = MetadataWrapper(cst.parse_module(code))
    module, positions = wrapper.module, wrapper.resolve(PositionProvider)
    visitor = MutationVisitor(mutation_operators, IgnoredCode(set(), set(), set()))
    wrapper.visit(visitor)
    left_out: set[int] = set()
    functions: dict[int, str] = {}
    for node in walked(module):
        if isinstance(node, cst.Raise):
            left_out |= {id(part) for part in walked(node) if isinstance(part, cst.SimpleString)}
        elif isinstance(node, cst.Call) and isinstance(node.func, cst.Name) and node.func.value == "cast":
            left_out |= {id(node), *map(id, walked(node.args[0]))}
    for node in module.body:
        if isinstance(node, cst.FunctionDef):
            functions[id(node)] = node.name.value
        elif isinstance(node, cst.ClassDef):
            members = (member for member in node.body.body if isinstance(member, cst.FunctionDef))
            functions |= {id(member): f"{node.name.value}.{member.name.value}" for member in members}
    found: list[Mutant] = []
    for number, mutation in enumerate(visitor.mutations):
        function, original = functions.get(id(mutation.contained_by_top_level_function)), mutation.original_node
        if function is None or id(original) in left_out:
            continue
        render = partial(_rendered, module, original, mutation.mutated_node)
        span = positions[mutation.contained_by_top_level_function]
        lines = range(span.start.line, span.end.line + 1)
        found.append(Mutant(file, positions[original].start.line, function, lines, number, render))
    return found


def _rendered(module: Any, original: Any, mutated: Any) -> str:
    return module.deep_replace(original, mutated).code


def walked(node: Any) -> Iterator[Any]:
    yield node
    for child in node.children:
        yield from walked(child)


def compiles(text: str) -> bool:
    try:
        compile(text, "mutant", "exec")
    except SyntaxError:
        return False
    return True


if __name__ == "__main__":
    main()
