"""llama.cpp, from the package xllamacpp, reads our GGUF files as we mean them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.export.mixed_texts import mixed_texts
from tests.model_folders import KINDS, write_model_folder
from thinkwright.chat.template import TEMPLATES
from thinkwright.errors import ModelError
from thinkwright.export.gguf import check_gguf, file_name, write_gguf
from thinkwright.export.llama_cpp import GreedyComparison, LlamaServer, compare_greedy, is_installed, serve, token_gaps
from thinkwright.export.run_export import gguf_model
from thinkwright.export.subject import Subject, find_subject, load_subject
from thinkwright.tasks.tiny_world.world import held_out_puzzles

pytest.importorskip("gguf", reason="gguf is not installed: pip install 'thinkwright[export]'")
pytestmark = pytest.mark.skipif(not is_installed(), reason="xllamacpp is not installed: pip install xllamacpp")
THINKING = tuple(name for name in TEMPLATES if name != "boxed")
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def load(model: str, template: str) -> Subject:
    source, config = find_subject(model)
    return load_subject(source, config, None, template)


def write(subject: Subject, file_type: str, folder: Path) -> Path:
    model = gguf_model(subject, file_type, None)
    path = folder / file_name(model)
    write_gguf(model, path)
    check_gguf(model, path)
    return path


@pytest.fixture(scope="module")
def tiny() -> Subject:
    return load("tiny-base", "r1_zero")


@pytest.fixture(scope="module")
def server(tiny: Subject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    with serve(write(tiny, "f16", tmp_path_factory.mktemp("gguf"))) as running:
        yield running


def test_500_mixed_texts_become_equal_tokens(tiny: Subject, server: LlamaServer) -> None:
    texts = mixed_texts(500)
    expected = {text: tiny.policy.tokenizer.encode(text, add_special_tokens=False) for text in texts}
    assert {text: server.tokenize(text) for text in texts} == expected


def test_greedy_replies_to_50_prompts_are_equal(tiny: Subject, server: LlamaServer) -> None:
    """The shipped base model in f16. Where it picks another token, the two were equally likely to three digits."""
    template, differing = TEMPLATES["r1_zero"], 0
    for puzzle in held_out_puzzles()[:50]:
        ids = tiny.policy.tokenizer.encode(template.prompt(puzzle.question), add_special_tokens=False)
        gaps = token_gaps(tiny.policy, ids, server.greedy(ids, 48))
        assert max(gaps) < 0.002
        differing += max(gaps) > 0
    assert differing <= 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_tied", [True, False])
def test_every_layout_gives_our_tokens(kind: str, is_tied: bool, tmp_path: Path) -> None:
    subject = load(str(write_model_folder(tmp_path / "m", kind, tie_word_embeddings=is_tied)), "think_summary")
    found = compare_greedy(gguf_model(subject, "f32", None), write(subject, "f32", tmp_path))
    assert found.num_equal >= found.num_tokens - 2 > 20
    assert found.largest_gap < 0.005


@pytest.mark.parametrize("file_type", ["f16", "bf16", "q8_0", "q4_0"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_type_is_loaded(file_type: str, kind: str, model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    subject = load(str(model_folder(kind)), "think_summary")
    found = compare_greedy(gguf_model(subject, file_type, None), write(subject, file_type, tmp_path))
    assert found.num_tokens > 20
    # Random weights bear little: of 512 tokens, chance would take ours once in 512.
    if file_type == "q4_0":
        assert found.num_equal > found.num_tokens / 5
    else:
        assert found.largest_gap < 0.3


@pytest.mark.parametrize(
    ("kind", "rope"),
    [("llama", LLAMA3_ROPE), ("qwen2", {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0})],
)
def test_scaled_positions_are_llama_cpps_too(kind: str, rope: dict[str, float], tmp_path: Path) -> None:
    subject = load(str(write_model_folder(tmp_path / "m", kind, rope_parameters=rope)), "think_summary")
    found = compare_greedy(gguf_model(subject, "f32", None), write(subject, "f32", tmp_path))
    assert found.num_equal >= found.num_tokens - 2 > 20
    assert found.largest_gap < 0.005


def test_tokens_are_told_apart_only_where_some_differ() -> None:
    assert GreedyComparison(72, 72, 0.0).line() == "llama.cpp: all 72 greedy tokens are ours"
    told = "llama.cpp: 71 of 72 greedy tokens are ours, the others within 0.00031 of the logits' spread"
    assert GreedyComparison(72, 71, 0.00031).line() == told


def test_rows_in_the_wrong_order_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file reads back as it was written, so only llama.cpp can tell."""
    subject = load(str(write_model_folder(tmp_path / "m", "llama")), "think_summary")
    monkeypatch.setattr("thinkwright.export.gguf_layout.pairs_together", lambda rows, num_heads: rows)
    path = write(subject, "f32", tmp_path)
    with pytest.raises(ModelError, match="which is too far"):
        compare_greedy(gguf_model(subject, "f32", None), path)


@pytest.mark.parametrize("name", TEMPLATES)
def test_its_chat_template_is_ours(name: str, model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    question = "What is 2 + 3? {{ x }} 一"
    with serve(write(load(str(model_folder("qwen2")), name), "f32", tmp_path)) as running:
        messages = [{"role": "user", "content": question}]
        assert running.prompt(messages) == TEMPLATES[name].prompt(question)
        if name != "boxed":
            off = running.prompt(messages, chat_template_kwargs={"enable_thinking": False})
            assert off.endswith(" Assistant: <think> </think>")
        earlier = [*messages, {"role": "assistant", "content": "5", "reasoning_content": "2 and 3"}]
        assert "2 and 3" not in running.prompt([*earlier, {"role": "user", "content": "And now?"}])


# Grammars, so that what the model says is known: this is about how the server tells it apart.
THOUGHT = " <think> 2 and 3 are 5 </think> "


@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [
        ("think_summary", f"{THOUGHT}It is 5.", ("2 and 3 are 5", "It is 5.")),
        ("think_summary", " Hello there!", ("", "Hello there!")),
        ("r1_zero", f"{THOUGHT}<answer> 5 </answer>", ("2 and 3 are 5", "<answer> 5 </answer>")),
        ("r1_zero", f"{THOUGHT}It is 5.", ("2 and 3 are 5", "It is 5.")),
        ("r1_zero", " <think> 2 and", ("2 and", "")),
        (
            "r1_zero_prefilled",
            " 2 and 3 are 5 </think> <answer> 5 </answer>",
            ("2 and 3 are 5", "<answer> 5 </answer>"),
        ),
        ("think_summary_prefilled", " 2 and 3 are 5 </think> It is 5.", ("2 and 3 are 5", "It is 5.")),
    ],
)
def test_its_server_tells_thought_and_answer_apart(
    name: str, reply: str, expected: tuple[str, str], model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    with serve(write(load(str(model_folder("qwen2")), name), "f32", tmp_path)) as running:
        found = say(running, reply)
    assert found == expected


@pytest.mark.parametrize("name", THINKING)
def test_its_server_honours_thinking_off(name: str, model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    with serve(write(load(str(model_folder("qwen2")), name), "f32", tmp_path)) as running:
        assert say(running, " It is 5.", chat_template_kwargs={"enable_thinking": False}) == ("", "It is 5.")


def say(server: LlamaServer, reply: str, **settings: object) -> tuple[str, str]:
    """Thought and answer of a chat in which the model can only say ``reply``."""
    grammar = f"root ::= {json.dumps(reply)}"
    choice = server.chat(
        [{"role": "user", "content": "2 + 3?"}], grammar=grammar, max_tokens=64, temperature=0.0, **settings
    )
    message = choice["message"]
    return (message.get("reasoning_content") or "").strip(), (message.get("content") or "").strip()


def test_its_defaults_are_r1s_sampling(tiny: Subject, server: LlamaServer) -> None:
    del tiny
    settings = server.defaults()
    assert (settings["temperature"], settings["top_p"]) == (pytest.approx(0.6), pytest.approx(0.95))


def test_gaps_are_nothing_for_the_best_token(tiny: Subject) -> None:
    ids = tiny.policy.tokenizer.encode("What is 2 + 3?", add_special_tokens=False)
    with torch.no_grad():
        tiny.policy.model.set_attn_implementation("eager")
        logits = tiny.policy.model(input_ids=torch.tensor([ids])).logits[0, -1]
    order = logits.argsort(descending=True).tolist()
    assert token_gaps(tiny.policy, ids, order[:1]) == [0.0]
    assert token_gaps(tiny.policy, ids, order[9:10])[0] == pytest.approx(
        float((logits[order[0]] - logits[order[9]]) / logits.std())
    )
