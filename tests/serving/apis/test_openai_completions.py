"""Text completions: every form of a prompt, and that OpenAI's own types read the replies."""

from typing import Any

import pytest
from openai.types import Completion
from pydantic import ValidationError

from tests.serving.apis.told import events, shown_tokens, streamed, tiny_desk, told_of, whole
from thinkwright.serving.apis import openai_completions
from thinkwright.serving.apis.dialect import Told
from thinkwright.serving.apis.openai_completions import OpenAiCompletions
from thinkwright.serving.ask import Part

COMPLETIONS = OpenAiCompletions()
PARTS = (Part(0, answer=" <think> 1"), Part(0, answer=" </think>", end="length", num_tokens=4))


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("1 + 1", ["1 + 1"]),
        (["1", "2"], ["1", "2"]),
        ([5, 6.0], [(5, 6)]),
        ([[5], [6, 7]], [(5,), (6, 7)]),
    ],
)
def test_a_prompt_is_a_text_or_tokens_or_several(prompt: Any, asked: list[Any]) -> None:
    wanted = told_of(COMPLETIONS, prompt=prompt).wanted
    assert [ask.prompt for ask in wanted.asks] == asked
    assert wanted.asks[0].messages == ()
    assert wanted.asks[0].sampling.max_tokens == 16


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"prompt": []}, "must be a text"),
        ({"prompt": [[]]}, "at least 1"),
        ({"prompt": {"a": 1}}, "must be a text"),
        ({"prompt": [5, "a"]}, "valid integer"),
        ({"prompt": ["a", 5]}, "valid string"),
        ({"prompt": [-1]}, "greater than or equal to 0"),
        ({"prompt": ["a", "\ud800"]}, "half a surrogate"),
        ({"prompt": "a", "echo": True}, "not given back"),
        ({"prompt": "a", "suffix": "b"}, "not filled in"),
        ({"prompt": "a", "best_of": 2}, "not chosen among"),
        ({"prompt": "a", "logprobs": 21}, "less than or equal to 20"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(body: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as found:
        told_of(COMPLETIONS, **body)
    assert reason in found.value.errors()[0]["msg"]


def test_replies_are_read_by_openais_types() -> None:
    parts = (*PARTS, Part(1, answer="2", end="stop", num_tokens=2))
    reply = Completion.model_validate(whole(COMPLETIONS, parts, prompt=["a", "b"]), strict=True)
    assert [(choice.index, choice.text, choice.finish_reason) for choice in reply.choices] == [
        (0, " <think> 1 </think>", "length"),
        (1, "2", "stop"),
    ]
    assert reply.usage is not None
    num_prompt = sum(len(tiny_desk().prompter.encode(text)) for text in "ab")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (num_prompt, 6)


def test_a_stream_has_the_same_text() -> None:
    chunks = events(streamed(COMPLETIONS, PARTS, prompt="a", stream_options={"include_usage": True}))
    # As OpenAI's client reads chunks: its type knows no reason of null, which its server sends.
    read = [Completion.construct(**chunk) for chunk in chunks]
    assert "".join(chunk.choices[0].text for chunk in read[:-1]) == " <think> 1 </think>"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None, "length"]
    assert read[-1].choices == []
    assert read[-1].usage is not None
    assert read[-1].usage.completion_tokens == 4


def test_log_probabilities_have_offsets_in_whole_characters() -> None:
    tokens = shown_tokens("🜚 12")
    parts = (Part(0, "", "", tokens[:1]), Part(0, "", "🜚 12", tokens[1:], "stop", 9))
    choice = Completion.model_validate(whole(COMPLETIONS, parts, prompt="a", logprobs=2)).choices[0]
    assert choice.logprobs is not None
    names, offsets = choice.logprobs.tokens or [], choice.logprobs.text_offset or []
    num_halves = sum(name.startswith("bytes:") for name in names)
    assert num_halves > 1
    assert offsets[:num_halves] == [0] * num_halves
    assert offsets[num_halves:] == [1 + len("".join(names[num_halves:i])) for i in range(num_halves, len(names))]
    assert choice.logprobs.top_logprobs is not None
    assert sorted(choice.logprobs.top_logprobs[-1].values()) == [-9999.0, -0.5]
    chunks = events(streamed(COMPLETIONS, parts, prompt="a", logprobs=2))
    told = [offset for chunk in chunks for offset in chunk["choices"][0]["logprobs"]["text_offset"]]
    assert told == offsets


def test_a_choices_log_probabilities_are_written_by_one_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Told] = []
    init = openai_completions._Logprobs.__init__

    def noting(self: Any, told: Told) -> None:
        made.append(told)
        init(self, told)

    monkeypatch.setattr(openai_completions._Logprobs, "__init__", noting)
    parts = [*(Part(choice, answer="a") for choice in (0, 1, 0, 1)), *(Part(choice, end="stop") for choice in (0, 1))]
    streamed(COMPLETIONS, parts, prompt="a", n=2)
    assert len(made) == 2
