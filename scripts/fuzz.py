"""Every reader of what comes from elsewhere, fed with bytes that atheris finds: refused in words, or read.

Run from the repository's root: ``make fuzz`` (ten minutes a reader). A reader fails if it raises anything but our own
errors (or pydantic's, for bodies of requests), takes over ten seconds or two gigabytes, writes outside of its folder,
starts a program or opens a connection. What is found to reach new lines of code is kept in ``build/fuzz`` and gone on
from the next time.
"""

import argparse
import contextlib
import os
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = True  # what readers import on the way is not what they write
Reader = Callable[[bytes, Path], None]
HEADER = b'{"model.layers.0.a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
INDEX = "model.safetensors.index.json"
SEEDS: dict[str, list[bytes]] = {
    "recipe": [b'type = "rl"\nmodel = "tiny-base"\nsteps = 3\n[task]\ntype = "tiny_world"\n', b"use = ['modern']\n"],
    "rows": [b'{"question": "1+1?", "answer": "2"}\n{"question": "\\u4e00", "answer": 3}\n'],
    "pairs": [b'{"question": "q", "chosen": "a", "rejected": "b"}\n', b'{"chosen": "Human: a Assistant: b"}\n'],
    "config": [b'{"model_type": "qwen2", "num_hidden_layers": 2, "hidden_size": 64, "vocab_size": 512}'],
    "weights": [struct.pack("<Q", len(HEADER)) + HEADER],
    "index": [b'{"weight_map": {"model.norm.weight": "model.safetensors"}}'],
    "reply": [b"<think> 2*3=6 </think> <answer> 6 </answer>", b"\\boxed{\\frac{1}{2}}", b"```json\n[1, {}]\n```"],
    "body": [b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "stop": ["x"]}'],
    "sums": [b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for each reader")
    parser.add_argument("--readers", nargs="+", choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--only", choices=SEEDS, help="this one, in this process")
    options = parser.parse_args()
    if options.only:
        fuzz(options.only, options.out, options.minutes)
        return
    failed: list[str] = []
    for name in options.readers:
        arguments = ["--only", name, "--minutes", str(options.minutes), "--out", str(options.out)]
        log = options.out / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "wb") as file:
            done = subprocess.run([sys.executable, __file__, *arguments], stdout=file, stderr=file, check=False)
        print(f"{name}: {'ok' if done.returncode == 0 else f'failed, see {log}'}, {last_count(log)}", flush=True)
        failed += [name] * (done.returncode != 0)
    sys.exit(bool(failed))


def last_count(log: Path) -> str:
    """How often the reader was called, as libFuzzer says at its end."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("Done ")]
    return lines[-1] if lines else "no end"


def fuzz(name: str, out: Path, minutes: float) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["thinkwright"]):
        reader = READERS[name]()
    corpus = out / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    place = Path(tempfile.mkdtemp(prefix="thinkwright-fuzz-"))

    def once(data: bytes) -> None:
        with watched(place):
            reader(data, place)

    limits = [f"-max_total_time={int(minutes * 60)}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=4096"]
    if words := sorted(WORDS[name]() if name in WORDS else ()):
        (out / f"{name}.dict").write_text("".join(f'"{word}"\n' for word in words))
        limits.append(f"-dict={out / name}.dict")
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={out}/{name}-", str(corpus)], once)
    atheris.Fuzz()


def words_of(schema: Any) -> set[str]:
    """Keys and choices that a JSON schema names: random bytes would hardly ever meet them."""
    if isinstance(schema, list):
        return {word for part in schema for word in words_of(part)}
    if not isinstance(schema, dict):
        return set()
    named = [*schema.get("properties", ()), *schema.get("enum", ()), schema.get("const")]
    plain = {word for word in named if isinstance(word, str) and re.fullmatch(r"[\w./-]+", word, re.ASCII)}
    return plain.union(*(words_of(part) for part in schema.values()))


def recipe_words() -> set[str]:
    from pydantic import TypeAdapter

    from thinkwright.config.kinds import Recipe

    return words_of(TypeAdapter(Recipe).json_schema())


def body_words() -> set[str]:
    from thinkwright.serving.app import DIALECTS

    return set[str]().union(*(words_of(dialect.body.model_json_schema()) for dialect in DIALECTS))


class Forbidden(Exception):
    """A reader did what no reader may."""


_watch: dict[str, Any] = {"place": None}


@contextlib.contextmanager
def watched(place: Path) -> Any:
    _watch["place"] = str(place)
    try:
        yield
    finally:
        _watch["place"] = None


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    place = _watch["place"]
    if place is None:
        return
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "os.fork"):
        raise Forbidden(f"{event}: {arguments}")
    is_writing = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if is_writing and not os.path.realpath(os.fsdecode(arguments[0])).startswith(place):
        raise Forbidden(f"{event}: {arguments}")


sys.addaudithook(_look)


def reads_recipe() -> Reader:
    from thinkwright.config.load import load_recipe
    from thinkwright.config.pipeline import load_pipeline
    from thinkwright.errors import ThinkwrightError

    def read(data: bytes, place: Path) -> None:
        path = place / "recipe.toml"
        path.write_bytes(data)
        for load in (load_recipe, load_pipeline):
            with contextlib.suppress(ThinkwrightError):
                load(str(path), [])

    return read


def reads_rows() -> Reader:
    from thinkwright.errors import ThinkwrightError
    from thinkwright.tasks.read import read_rows

    def read(data: bytes, place: Path) -> None:
        for name in ("rows.jsonl", "rows.jsonl.gz"):
            (place / name).write_bytes(data)
            with contextlib.suppress(ThinkwrightError):
                list(read_rows(str(place / name), "data"))

    return read


def reads_pairs() -> Reader:
    from thinkwright.errors import ThinkwrightError
    from thinkwright.tasks.preferences import every_pair, read_pairs

    def read(data: bytes, place: Path) -> None:
        path = place / "pairs.jsonl"
        path.write_bytes(data)
        with contextlib.suppress(ThinkwrightError):
            every_pair([str(path)])
        with contextlib.suppress(ThinkwrightError):
            read_pairs([str(path)], both_sides=True)

    return read


def reads_model_folder(file: str) -> Callable[[], Reader]:
    def make() -> Reader:
        from thinkwright.errors import ThinkwrightError
        from thinkwright.models.model_folder import check_model_folder

        def read(data: bytes, place: Path) -> None:
            for name, seed in (("config.json", "config"), ("model.safetensors", "weights"), (INDEX, "index")):
                (place / name).write_bytes(data if name == file else SEEDS[seed][0])
            with contextlib.suppress(ThinkwrightError):
                check_model_folder(place)

        return read

    return make


def reads_reply() -> Reader:
    """A completion: told apart by every template, graded by the rules that read numbers, formulas, data and words."""
    from thinkwright.chat.template import TEMPLATES
    from thinkwright.rewards.reflection import checks_itself, corrects_itself, reflection_counts
    from thinkwright.rewards.registry import VERIFIERS

    golds = {"number": "6", "words": "a b", "word_set": "a b", "exact": "a", "choice": "B"}
    golds |= {"structured": '{"kind": "json", "value": [1, {}]}'}

    def read(data: bytes, place: Path) -> None:
        text = data.decode(errors="replace")
        for template in TEMPLATES.values():
            reply = template.split(text)
            for name, gold in golds.items():
                score = VERIFIERS[name].grade(reply.answer or text, gold)
                if not 0 <= score <= 1:
                    raise Forbidden(f"{name}: a score of {score}")
        reflection_counts(text), checks_itself(text), corrects_itself(text)

    return read


def reads_body() -> Reader:
    from pydantic import ValidationError

    from thinkwright.serving.app import DIALECTS
    from thinkwright.serving.ask import BadRequest

    def read(data: bytes, place: Path) -> None:
        for dialect in DIALECTS:
            with contextlib.suppress(ValidationError, BadRequest):
                dialect.read(dialect.body.model_validate_json(data))

    return read


def reads_sums() -> Reader:
    from thinkwright.training.checkpoint_files import look

    def read(data: bytes, place: Path) -> None:
        (place / "SHA256SUMS").write_bytes(data)
        (place / "a").write_bytes(b"")
        look(place)

    return read


READERS: dict[str, Callable[[], Reader]] = {
    "recipe": reads_recipe,
    "rows": reads_rows,
    "pairs": reads_pairs,
    "config": reads_model_folder("config.json"),
    "weights": reads_model_folder("model.safetensors"),
    "index": reads_model_folder(INDEX),
    "reply": reads_reply,
    "body": reads_body,
    "sums": reads_sums,
}
WORDS: dict[str, Callable[[], set[str]]] = {"recipe": recipe_words, "body": body_words}

if __name__ == "__main__":
    main()
