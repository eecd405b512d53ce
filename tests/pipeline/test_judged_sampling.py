"""Rejection sampling with a judge where there is no rule, with a refiner, and with what brings a base to think."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.models.served import chat_reply, serving
from thinkwright.chat.template import TEMPLATES
from thinkwright.config.load import load_recipe
from thinkwright.errors import DataError, EndpointError, GraderError, ModelError, RecipeError, RunFolderError
from thinkwright.pipeline.run import run_recipe
from thinkwright.report.page import write_report
from thinkwright.tasks.tiny_world.worked import careful_rows

MACHINE = """
type = "rejection_sample"
model = "tiny-base"
template = "r1_zero"
machine = { device = "cpu", dtype = "float32", threads = 1 }
rollout = { prompts_per_step = 16, group_size = 4, max_response_tokens = 96 }
steps = 2
"""


class Server:
    """Judge and refiner; what it says can be changed between runs."""

    def __init__(self) -> None:
        self.url = ""
        self.say: Any = None
        self.lives = 10**9
        self.probes = 0
        self.sent: list[dict[str, Any]] = []

    def answer(self, path: str, body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"]
        if text == "Say ok.":
            self.probes += 1
            return chat_reply("ok") if self.lives else (503, "down")
        self.sent.append(body)
        if len(self.sent) > self.lives:
            return 503, "down"
        said = self.say(parts_of(text), body)
        return said if isinstance(said, tuple) else chat_reply(said)

    def endpoint(self, **others: Any) -> str:
        keys = {"url": self.url, "name": "served", "timeout_seconds": 10, "retries": 0, "concurrency": 1} | others
        return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in keys.items()) + " }"


def parts_of(text: str) -> dict[str, str]:
    """The fenced texts by name, in order."""
    found: dict[str, str] = {}
    for block in text.split("\n\n=== "):
        head, _, rest = block.removeprefix("=== ").partition("\n")
        found[head.rpartition(" ")[0]] = rest.rpartition("\n=== END")[0]
    return found


def judge_by_reference(parts: dict[str, str], body: dict[str, Any]) -> str:
    answer, reference = parts["ANSWER TO BE JUDGED"], parts.get("REFERENCE ANSWER", "")
    is_right = answer == reference
    if "," in answer:  # swayed by the order
        is_right = list(parts).index("REFERENCE ANSWER") == 1
    return json.dumps({"analysis": "I compared them.", "verdict": "correct" if is_right else "incorrect"})


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    with serving(found.answer) as url:
        found.url = url
        yield found


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in careful_rows(48, 5)))
    return path


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "samples.toml"
    path.write_text(MACHINE + text)
    return path


def judged(tmp_path: Path, server: Server, questions: Path, **others: Any) -> Path:
    task = f'task = {{ type = "prompts", data = ["{questions}"], reference_column = "answer" }}\n'
    return write(tmp_path, task + f"judge = {server.endpoint(**others)}\n")


def run(file: Path, out: Path, *overrides: str, resume: bool = False) -> dict[str, Any]:
    return run_recipe(load_recipe(str(file), overrides), out, resume=resume, argv=[])


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "examples.jsonl").read_text(encoding="utf-8").splitlines()]


def test_prompts_without_a_rule_are_kept_when_judged_right_in_both_orders(
    tmp_path: Path, server: Server, questions: Path
) -> None:
    server.say = judge_by_reference
    counts = run(judged(tmp_path, server, questions), tmp_path / "out")["after"]
    found = rows(tmp_path / "out")
    answers = {row["question"]: row["answer"] for row in careful_rows(48, 5)}
    assert len(found) == counts["examples"] > 5
    assert counts["sampled"] == 128 == counts["examples"] + sum(counts["dropped"].values())
    assert counts["dropped"]["judged incorrect"] > 10
    for row in found:
        assert row["answer"] == answers[row["question"]]
        assert row["source"]["judge"] == {"model": "served", "verdicts": ["correct", "correct"]}
        assert row["source"]["scores"] == {"format": 1.0}
    assert server.probes == 1
    thoughts = {row["thought"] for row in found if len(row["thought"]) > 30}  # too long to stand in an answer
    assert len(thoughts) > 3
    for body in server.sent:
        assert not any(thought in message["content"] for thought in thoughts for message in body["messages"])
    metrics = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < row["judge/correct_share"] < 1 and row["judge/no_verdict"] == 0 for row in metrics)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"| judged incorrect | {counts['dropped']['judged incorrect']} |" in card
    assert "`served` judged the answers, each twice" in card


def test_the_key_of_a_judge_stands_in_no_file_and_no_message(
    tmp_path: Path,
    server: Server,
    questions: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-never-to-be-seen")
    server.say = judge_by_reference
    out = tmp_path / "out"
    run(judged(tmp_path, server, questions, key_variable="JUDGE_KEY"), out, "steps=1")
    write_report(out)
    server.lives = 0
    with pytest.raises(EndpointError) as caught:
        run(judged(tmp_path, server, questions, key_variable="JUDGE_KEY"), tmp_path / "other", "steps=1")
    assert server.sent[0]["_authorization"] == "Bearer sk-never-to-be-seen"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert [path.name for path in files if b"never-to-be-seen" in path.read_bytes()] == []
    captured = capsys.readouterr()
    assert "never-to-be-seen" not in captured.out + captured.err + str(caught.value)


def test_disagreement_and_missing_verdicts_are_counted_and_not_kept(
    tmp_path: Path, server: Server, questions: Path
) -> None:
    def say(parts: dict[str, str], body: dict[str, Any]) -> str:
        if "+" in parts["QUESTION"]:
            return "Hm."
        is_first = list(parts).index("REFERENCE ANSWER") == 1
        return json.dumps({"analysis": "a", "verdict": "correct" if is_first else "incorrect"})

    server.say = say
    file = judged(tmp_path, server, questions, max_no_verdict_share=1.0, tries=2)
    counts = run(file, tmp_path / "out", "steps=1")["after"]
    assert counts["examples"] == 0
    assert counts["dropped"]["the judge's two verdicts differ"] > 5
    assert counts["dropped"]["no verdict that can be read"] > 0
    assert "judged incorrect" not in counts["dropped"]


def test_a_judge_that_dies_in_the_second_step_loses_nothing(tmp_path: Path, server: Server, questions: Path) -> None:
    server.say = judge_by_reference
    file, out = judged(tmp_path, server, questions), tmp_path / "out"
    run(file, tmp_path / "whole")
    num_sent = len(server.sent)
    server.sent.clear()
    server.lives = num_sent - 5
    with pytest.raises(EndpointError, match="start the server"):
        run(file, out)
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 1
    assert not (out / "examples.jsonl").exists()
    server.sent.clear()
    server.lives = 10**9
    run(file, out, resume=True)
    assert len(server.sent) < num_sent  # the first step was not judged again
    for name in ("examples.jsonl", "README.md", "kept.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_judge_that_talks_nonsense_stops_the_stage(tmp_path: Path, server: Server, questions: Path) -> None:
    server.say = lambda parts, body: "Bananas!"
    with pytest.raises(GraderError, match=r"have no verdict of served (.|\n)*'Bananas!'"):
        run(judged(tmp_path, server, questions, tries=1), tmp_path / "out", "steps=1")


def test_answers_without_a_thought_are_kept_if_the_recipe_says_so(
    tmp_path: Path, server: Server, questions: Path
) -> None:
    server.say = lambda parts, body: json.dumps({"analysis": "a", "verdict": "correct"})
    file = judged(tmp_path, server, questions)
    short = ("steps=1", "template=think_summary")
    run(file, tmp_path / "bare", *short, "keep.allow_bare=true", "keep.per_prompt=4")
    bare = [row for row in rows(tmp_path / "bare") if row["thought"] is None]
    assert bare
    assert not any("think>" in row["answer"] for row in bare)
    run(file, tmp_path / "thought", *short)
    assert not [row for row in rows(tmp_path / "thought") if row["thought"] is None]


def refine(parts: dict[str, str], body: dict[str, Any]) -> str:
    """Writes well; but something wrong if the answer has a 1, of its thought if a 2, in another language if a 3."""
    is_chinese = "code: zh" in body["messages"][0]["content"]
    answer = parts["ANSWER"]
    opener = "我来看看这道题，先弄懂它在问什么，再一步一步地算。" if is_chinese else "I look at what is asked here."
    words = "所以答案就是这个" if is_chinese else "So the answer is"
    if "3" in answer:
        opener = "Ich schaue mir die Frage genau an und rechne dann Schritt für Schritt weiter bis zum Ende."
    if "2" in answer:
        words = "My thought process says"
    if "1" in answer:
        answer = f"{answer}7"
    return f"<think>\n{opener}\n\n{parts['RAW THOUGHT']}\n</think>\n{words} \\boxed{{{answer}}}"


def test_what_a_served_model_rewrites_is_looked_at_again(tmp_path: Path, server: Server) -> None:
    server.say = refine
    task = 'task = { type = "tiny_world", families = ["word_problems", "ordering"] }\nrewrite = "model"\n'
    opening = 'prompting = { style = "direct", instruction = {}, opening = { en = "step by step\\n" } }\n'
    file = write(tmp_path, f"{task}{opening}refiner = {server.endpoint()}\n")
    counts = run(file, tmp_path / "out")["after"]
    found, dropped = rows(tmp_path / "out"), counts["dropped"]
    assert len(found) == counts["examples"] > 5
    assert counts["sampled"] == 128 == counts["examples"] + sum(dropped.values())
    assert dropped["refined into something wrong"] > 0
    assert dropped["refined: the summary speaks of the thought"] > 0
    assert dropped["refined: thought in mixed languages"] > 0
    for row in found:
        assert row["thought"].startswith({"en": "I look at", "zh": "我来看看"}[row["language"]])
        assert "\\boxed{" in row["answer"]
        assert row["source"]["refiner"] == "served"
        assert row["source"]["rewrite"] == "model"
        assert row["source"]["scores"]["accuracy"] == row["source"]["scores"]["format"] == 1.0
        written = TEMPLATES["think_summary"].write(row["thought"], row["answer"])
        assert TEMPLATES["think_summary"].split(written).is_well_formed
    assert "`served` rewrote thoughts and answers" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    server.lives = 0
    with pytest.raises(EndpointError, match="start the server"):
        run(file, tmp_path / "down", "steps=1")
    assert not (tmp_path / "down").exists()


def cut(text: str) -> tuple[int, dict[str, Any]]:
    status, body = chat_reply(text)
    body["choices"][0]["finish_reason"] = "length"
    return status, body


def test_rewritings_that_are_cut_or_empty_are_counted_and_too_many_stop_the_stage(
    tmp_path: Path, server: Server
) -> None:
    def say(parts: dict[str, str], body: dict[str, Any]) -> Any:
        said = refine(parts, body)
        number = len(server.sent) % 3
        return cut(said) if number == 0 else " " if number == 1 else said

    server.say = say
    task = 'task = { type = "tiny_world", families = ["word_problems", "ordering"] }\nrewrite = "model"\n'
    many = write(tmp_path, f"{task}refiner = {server.endpoint(max_unusable_share=1.0)}\n")
    counts = run(many, tmp_path / "many", "steps=1")["after"]
    assert counts["dropped"]["refined into a text that was cut"] > 0
    assert counts["dropped"]["refined into nothing"] > 0
    assert counts["sampled"] == 64 == counts["examples"] + sum(counts["dropped"].values())
    few = write(tmp_path, f"{task}refiner = {server.endpoint()}\n")
    with pytest.raises(
        GraderError, match=r"rewritings of served \d+ are cut, empty or of no readable form, (.|\n)*<think>"
    ):
        run(few, tmp_path / "few", "steps=1")


def test_a_resumed_run_may_reach_its_judge_in_another_way_but_not_ask_another(
    tmp_path: Path, server: Server, questions: Path
) -> None:
    server.say = judge_by_reference
    out = tmp_path / "out"
    run(judged(tmp_path, server, questions), out, "steps=2")
    (out / "metrics.jsonl").write_text("")
    other = judged(tmp_path, server, questions, timeout_seconds=20, retries=1, concurrency=2, tries=2)
    assert run(other, out, "steps=2", resume=True)["steps"] == 2
    with pytest.raises(RunFolderError, match=r"judge.max_tokens: 4096 in the folder, 9 now"):
        run(judged(tmp_path, server, questions, max_tokens=9), out, "steps=2", resume=True)
    assert "url" in json.loads((out / "recipe.json").read_text())["judge"]


@pytest.mark.slow
def test_a_question_keeps_its_cap_however_often_it_comes(tmp_path: Path, server: Server, questions: Path) -> None:
    server.say = lambda parts, body: json.dumps({"analysis": "a", "verdict": "correct"})
    counts = run(judged(tmp_path, server, questions), tmp_path / "out", "steps=6", "keep.per_prompt=1")["after"]
    found = rows(tmp_path / "out")
    assert len({row["question"] for row in found}) == len(found) == counts["examples"]
    dropped = counts["dropped"]
    assert dropped["over the cap of all rounds"] > 0
    assert counts["sampled"] == 384 == counts["examples"] + sum(dropped.values())
    kept = [json.loads(line) for line in (tmp_path / "out" / "kept.jsonl").read_text(encoding="utf-8").splitlines()]
    shortest = {
        row["question"]: min(r["source"]["tokens"] for r in kept if r["question"] == row["question"]) for row in kept
    }
    assert all(row["source"]["tokens"] == shortest[row["question"]] for row in found)


def test_a_slow_judge_is_no_slow_engine(tmp_path: Path, server: Server, questions: Path) -> None:
    def say(parts: dict[str, str], body: dict[str, Any]) -> str:
        time.sleep(0.05)
        return judge_by_reference(parts, body)

    server.say = say
    run(judged(tmp_path, server, questions), tmp_path / "out", "steps=1")
    row = json.loads((tmp_path / "out" / "metrics.jsonl").read_text())
    assert row["time/step_seconds"] - row["time/rollout_seconds"] > 0.05 * len(server.sent)
    assert row["rollout/tokens_per_second"] == pytest.approx(row["rollout/tokens"] / row["time/rollout_seconds"])


def test_a_prompt_that_cannot_fit_with_its_examples_is_refused_before_the_folder_is_made(tmp_path: Path) -> None:
    task = 'task = { type = "tiny_world", families = ["facts"] }\n'
    shown = 'prompting = { style = "few_shot", examples = ["tiny-world:careful:200"], count = 60 }\n'
    with pytest.raises(ModelError, match="context"):
        run(write(tmp_path, task + shown), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_opening_begins_every_thought_and_the_row_has_the_plain_question(tmp_path: Path) -> None:
    task = 'task = { type = "tiny_world" }\n'
    opening = 'prompting = { style = "direct", instruction = {}, opening = { en = "step by step\\n" } }\n'
    counts = run(write(tmp_path, task + opening), tmp_path / "out", "keep.min_language=0")["after"]
    found = rows(tmp_path / "out")
    english = [row for row in found if row["language"] == "en"]
    assert len(english) > 10
    assert all(row["thought"].startswith("step by step\n") for row in english)
    assert not all(row["thought"].startswith("step by step\n") for row in found if row["language"] == "zh")
    assert english[0]["source"]["prompting"] == {"style": "direct", "instruction": "", "opening": "step by step\n"}
    assert not any("Assistant" in row["question"] for row in found)
    assert counts["kept_share"] > 0.2
    assert "prompted in the style `direct`" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_worked_examples_are_shown_and_told_of(tmp_path: Path) -> None:
    task = 'task = { type = "tiny_world", families = ["facts"] }\n'
    shown = 'prompting = { style = "few_shot", examples = ["tiny-world:careful:40"], count = 1 }\n'
    run(write(tmp_path, task + shown), tmp_path / "out", "steps=1", "keep.min_language=0", "rollout.group_size=16")
    found = rows(tmp_path / "out")
    assert found
    for row in found:
        assert row["source"]["prompting"]["style"] == "few_shot"
        assert [place.rpartition(":")[0] for place in row["source"]["prompting"]["examples"]] == [
            "tiny-world:careful:40"
        ]
    few = 'prompting = { style = "few_shot", examples = ["tiny-world:careful:1"] }\n'
    with pytest.raises(DataError, match=r"careful:1: 1 different questions, and prompting.count = 2 are to be shown"):
        run(write(tmp_path, task + few), tmp_path / "few")


OPEN = "task={type='prompts', data=['x.jsonl']}"
ENDPOINT = "{url='http://127.0.0.1:1/v1', name='m'}"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([OPEN], "prompts have no rule that tells a right answer; add .judge. with url and name"),
        ([f"judge={ENDPOINT}"], r"judge: a tiny_world task has rules that judge; remove \[judge\]"),
        (["keep.allow_bare=true"], "keep.allow_bare is for questions without a rule"),
        ([OPEN, f"judge={ENDPOINT}", "keep.allow_bare=true"], "the template r1_zero has no form for an answer without"),
        ([OPEN, f"judge={ENDPOINT}", "workers=3"], "workers has no effect where no rule grades"),
        ([OPEN, f"judge={ENDPOINT}", "rewrite=model", f"refiner={ENDPOINT}"], "needs a task with a rule"),
        (["template=boxed"], "boxed has no answer apart from the thought"),
        (["rewrite=model"], "needs the served model that rewrites; add .refiner."),
        ([f"refiner={ENDPOINT}"], 'refiner has no effect with rewrite = "none"'),
        (["prompting={style='direct', instruction={}}"], "neither instruction nor opening is given"),
        (["prompting={style='direct', opening={en='<think>a'}}"], "opening.en: holds a tag of the thought"),
        (["prompting={style='direct', opening={english='a'}}"], "prompting.*opening.*english"),
        (["prompting={style='few_shot'}"], "prompting.*examples: required"),
        (["prompting={style='by_magic'}"], "prompting.style"),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_the_remedy(tmp_path: Path, overrides: list[str], words: str) -> None:
    file = write(tmp_path, 'task = { type = "tiny_world" }\n')
    with pytest.raises(RecipeError, match=words):
        load_recipe(str(file), overrides)
