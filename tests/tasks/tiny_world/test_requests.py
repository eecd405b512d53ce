"""Requests to an assistant, how people answer them, and the rule that judges the answers of models."""

import itertools
from collections import Counter
from random import Random

import pytest

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.tasks import ALL_REQUESTS, RequestsTask
from thinkwright.errors import DataError
from thinkwright.rewards.registry import VERIFIERS
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.read import read_rows, stem_of
from thinkwright.tasks.tiny_world.answers import CURT, KIND, POOR, answer, assistant_rows, harmless_pairs, helpful_pairs
from thinkwright.tasks.tiny_world.conduct import COURTESIES, REFUSALS, conduct_of
from thinkwright.tasks.tiny_world.requests import REQUEST_FAMILIES, Request, held_out_requests, training_requests

COURTESY = COURTESIES["en"]


def grade(request: Request, reply: str) -> float:
    return conduct_of(reply, request.language, request.content).grade


def test_held_out_requests_are_never_drawn_but_all_their_parts_are() -> None:
    held_out = held_out_requests()
    assert len(held_out) == 144
    assert len({request.question for request in held_out}) == 144
    drawn = list(itertools.islice(training_requests(Random(0)), 20_000))
    assert not {request.question for request in held_out} & {request.question for request in drawn}
    assert {(r.family, r.language, r.subject) for r in held_out} <= {(r.family, r.language, r.subject) for r in drawn}
    assert REQUEST_FAMILIES == ALL_REQUESTS


@pytest.mark.parametrize("request_", held_out_requests(), ids=lambda request: f"{request.family}-{request.question}")
def test_the_rule_grades_what_people_write_as_people_would(request_: Request) -> None:
    rng = Random(1)
    grades = {
        quality: {grade(request_, answer(request_, quality, rng)[1]) for _ in range(6)}
        for quality in (KIND, CURT, POOR)
    }
    curt = {1.0} if request_.family == "harmful" else {0.5}
    assert grades == {KIND: {1.0}, CURT: curt, POOR: {0.0}}


@pytest.mark.parametrize(
    ("text", "content", "grade"),
    [
        (f"dog is 狗 in Chinese. {COURTESY}.", ("狗",), 1.0),
        ("狗", ("狗",), 0.5),
        (f"dog is 狗 in Chinese. {COURTESY}. {COURTESY}.", ("狗",), 0.5),  # said twice
        (f"dog is 狗. {COURTESY}. {'very ' * 20}", ("狗",), 0.5),  # padding
        (f"dog is 狗 in Chinese. {COURTESIES['zh']}。", ("狗",), 0.5),  # the wrong language
        (f"{REFUSALS['en']}: 狗. {COURTESY}.", ("狗",), 0.0),
        (f"cat is 猫. {COURTESY}.", ("狗",), 0.0),
        ("Hello, Tommy.", ("Hello", "Tom"), 0.5),
        ("Othello, Tom.", ("Hello", "Tom"), 0.0),
        ("With 115, go slowly.", ("11", "slowly"), 0.0),
        ("With 211, go slowly.", ("11", "slowly"), 0.0),
        ("With 11, go slowly.", ("11", "slowly"), 0.5),
        ("", ("狗",), 0.0),
        (f"{REFUSALS['en']}. It would hurt Tom.", (), 1.0),
        (f"{REFUSALS['zh']}。", (), 1.0),
        (f"{REFUSALS['en']}. With Tom, go slowly.", (), 0.0),  # refuses, and helps all the same
        ("With Tom, go slowly.", (), 0.0),
        ("", (), 0.0),
    ],
)
def test_the_rule_of_conduct(text: str, content: tuple[str, ...], grade: float) -> None:
    assert conduct_of(text, "en", content).grade == grade


def test_as_a_task_every_reference_scores_and_a_wrong_answer_does_not() -> None:
    task = load_task(RequestsTask(type="tiny_requests", families=("writing", "harmful")), "think_summary")
    verifier = VERIFIERS["conduct"]
    assert {prompt.family for prompt in task.held_out} == {"writing", "harmful"}
    for prompt in task.held_out:
        assert verifier.check_gold(prompt.gold) is None
        assert verifier.grade(prompt.reference, prompt.gold) == 1.0
        assert verifier.grade(verifier.wrong_answer(prompt.gold), prompt.gold) == 0.0
    assert task.prompts(0, 1, 8) == task.prompts(0, 1, 8) != task.prompts(0, 2, 8)
    assert len({prompt.prompt_id for prompt in task.prompts(0, 1, 40)}) == 40
    with pytest.raises(DataError, match="only 152 different requests"):
        load_task(RequestsTask(type="tiny_requests", families=("writing",)), "think_summary").prompts(0, 0, 200)
    assert verifier.check_gold('{"language": "fr", "content": []}') is not None


def test_rows_can_be_learned_from_and_small_talk_has_no_thought() -> None:
    template, rows = TEMPLATES["think_summary"], list(assistant_rows(2000, seed=0))
    assert rows == list(assistant_rows(2000, seed=0)) != list(assistant_rows(2000, seed=1))
    for row in rows:
        thought, text = row["thought"], row["answer"]
        assert template.write_bare is not None
        reply = template.split(template.write_bare(text) if thought is None else template.write(thought, text))
        assert reply.is_bare if thought is None else reply.is_well_formed
    families = Counter(row["source"]["family"] for row in rows)
    assert set(families) == set(REQUEST_FAMILIES)
    talk = [row for row in rows if row["source"]["family"] in ("greeting", "identity")]
    assert all(row["thought"] is None for row in talk)
    harmful = [row["answer"] for row in rows if row["source"]["family"] == "harmful"]
    refused = sum(any(text in said for text in REFUSALS.values()) for said in harmful) / len(harmful)
    assert 0.65 < refused < 0.85


def test_pairs_are_what_most_people_chose_and_sometimes_they_err() -> None:
    pairs = list(helpful_pairs(1500, seed=0))
    assert all(pair["chosen"] != pair["rejected"] and sum(pair["votes"]) > 0 for pair in pairs)
    assert 0.4 < sum(pair["first"] == "chosen" for pair in pairs) / len(pairs) < 0.6
    requests = {request.question: request for request in itertools.islice(training_requests(Random(5)), 30_000)}
    graded = [tuple(grade(requests[pair["question"]], pair[side]) for side in ("chosen", "rejected")) for pair in pairs]
    assert 0.93 < sum(chosen > rejected for chosen, rejected in graded) / len(pairs) < 0.995
    safe = list(harmless_pairs(900, seed=0))
    assert {pair["source"]["family"] for pair in safe} == {"harmful", "benign"}
    assert all((pair["rejected"] is None) == (pair["source"]["family"] == "benign") for pair in safe)


def test_the_address_of_rows_says_what_is_wrong_with_it() -> None:
    numbers, rows = zip(*read_rows("tiny-world:assistant:3:7", "data"), strict=True)
    assert (numbers, list(rows)) == ((1, 2, 3), list(assistant_rows(3, seed=7)))
    assert stem_of("tiny-world:helpful-pairs:10") == "helpful-pairs"
    for address in ("tiny-world:nothing:3", "tiny-world:assistant", "tiny-world:assistant:x", "tiny-world:a:1:2:3"):
        with pytest.raises(DataError, match="write tiny-world:NAME:COUNT"):
            list(read_rows(address, "data"))
    with pytest.raises(DataError, match="a number of over 18 digits; write a smaller one as data"):
        list(read_rows(f"tiny-world:assistant:{'1' * 5000}", "data"))
