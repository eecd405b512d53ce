"""The terminal chat, as a person uses it (through a pseudo-terminal) and as a script does."""

import contextlib
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.pipeline.command_line import REPOSITORY, run
from tests.serving.terminal.streaming_server import Script, delta, streaming, told
from thinkwright.characters import with_controls_shown
from thinkwright.cli import main
from thinkwright.serving.terminal.markdown import markdown, num_complete

THOUGHT, ANSWER = {"reasoning_content": "I add."}, {"content": "It is **two**."}
COUNTS = {"completion_tokens": 190, "completion_tokens_details": {"reasoning_tokens": 184}}


@pytest.fixture
def script() -> Iterator[Script]:
    with streaming() as found:
        found.events = told(THOUGHT, ANSWER, **COUNTS)
        yield found


class Terminal:
    """A program with a terminal of its own."""

    def __init__(self, *words: str) -> None:
        ours, theirs = pty.openpty()
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24", "PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-m", "thinkwright", "chat", *words]
        # Where the tests themselves are started in the background, Ctrl-C is ignored, and a child would inherit that.
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(theirs)
        self._ours, self.raw = ours, ""
        self.everything = ""
        """All that was ever written, as it was."""

    @property
    def text(self) -> str:
        """What was written, without what moves and colours."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", self.raw)

    def wait_for(self, words: str, seconds: float = 60) -> str:
        """All until the words were written, which is then forgotten."""
        deadline = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < deadline, f"{words!r} is not in {self.text!r}"
            if select.select([self._ours], [], [], 0.1)[0]:
                try:
                    piece = os.read(self._ours, 65536).decode(errors="replace")
                    self.raw, self.everything = self.raw + piece, self.everything + piece
                except OSError:  # the program has ended
                    assert words in self.text, self.text
        found, _, self.raw = self.text.partition(words)
        return found + words

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def press_ctrl_c(self, until: str) -> None:
        """Again every few seconds, as a person does: Python drops an interrupt that falls into a finalizer."""
        for _ in range(6):
            self.process.send_signal(signal.SIGINT)
            deadline = time.monotonic() + 10
            while until not in self.text and time.monotonic() < deadline:
                time.sleep(0.02)
            if until in self.text:
                break
        self.wait_for(until, 1)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    with contextlib.ExitStack() as stack:

        def start(*words: str) -> Terminal:
            found = Terminal(*words)
            stack.callback(found.close)
            return found

        yield start


@pytest.mark.slow
def test_a_person_talks_switches_stops_saves_and_leaves(
    script: Script, terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    talk = terminal(script.url, "--system", "Be brief.")
    assert "Talking with one. /help lists the commands" in talk.wait_for(">>> ")
    talk.type("What is 1 + 1?\n")
    said = talk.wait_for("184 tokens of thought, 6 of answer")
    assert "Thought for 0.0 s" in said
    assert "It is two." in said
    talk.wait_for(">>> ")
    talk.type("/think off\n")
    talk.wait_for("thinking: off")
    talk.type("/budget 9\n")
    talk.wait_for("thoughts end after 9 tokens")
    talk.type("/thought\n")
    talk.wait_for("I add.\n")
    talk.type("/nothing\n")
    talk.wait_for("no such command: /nothing")

    script.events = [
        delta(reasoning="Hm."),
        delta(content="Well, "),
        *[lambda: time.sleep(0.05), delta(content="a ")] * 999,
    ]
    talk.type("And then?\n")
    talk.wait_for("Well, a a")
    talk.press_ctrl_c("(stopped; what came is kept)")
    assert script.left.wait(5)
    talk.wait_for(">>> ")
    talk.type(f"/save {tmp_path / 'talk.json'}\n")
    talk.wait_for("saved as")

    script.events = told(THOUGHT, ANSWER)
    talk.type("/retry\n")
    talk.wait_for("It is two.")
    talk.wait_for(">>> ")
    talk.type("\x04")
    assert talk.process.wait(20) == 0

    first, second, third = script.bodies
    system, question = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 1 + 1?"}
    assert first["messages"] == [system, question]
    assert "thinking" not in first
    assert second["messages"] == [
        system, question, {"role": "assistant", "content": "It is **two**."}, {"role": "user", "content": "And then?"},
    ]  # fmt: skip
    assert second == third
    assert second["reasoning_effort"] == "none"
    assert "thinking_token_budget" not in second  # of no thought there is no budget
    saved = json.loads((tmp_path / "talk.json").read_text())["messages"]
    assert [one["role"] for one in saved] == ["system", "user", "assistant", "user", "assistant"]
    assert (saved[2]["reasoning_content"], saved[2]["finish_reason"]) == ("I add.", "stop")
    assert (saved[4]["content"].startswith("Well, a a"), saved[4]["finish_reason"]) == (True, None)


@pytest.mark.parametrize(("shows", "is_kept"), [("open", True), ("closed", False)])
def test_thoughts_are_kept_or_never_shown(
    shows: str, is_kept: bool, script: Script, terminal: Callable[..., Terminal]
) -> None:
    talk = terminal(f"{script.url}#one", "--show-thoughts", shows)
    talk.wait_for(">>> ")
    talk.type("What?\n")
    assert ("I add." in talk.wait_for("184 tokens of thought")) == is_kept


ATTACK = "\x1b]0;owned\x07\x1b[2J\x1b[31m a\rb \u202egnp.exe &#x202E; \x9b31m [bold]x[/bold]"


def test_nothing_that_a_model_writes_acts_on_the_terminal(script: Script, terminal: Callable[..., Terminal]) -> None:
    script.events = told({"reasoning": ATTACK}, {"content": f"{ATTACK}\n\n```\n{ATTACK}\n```\n\nend of it"})
    talk = terminal(script.url, "--show-thoughts", "open")
    talk.wait_for(">>> ")
    talk.type("What?\n")
    said = talk.wait_for("end of it")
    assert "]0;owned[U+0007][U+001B][2J" in said
    # The screen was not cleared, no title set, nothing turned around; what is left is rich's own.
    assert not re.search(r"\x1b\]|\x1b\[2J|\x07|\x9b|\u202e", talk.everything)
    once = terminal(script.url, "--once", "What?")
    once.wait_for("end of it")
    assert "[U+001B]]0;owned" in once.everything
    assert not re.search(r"\x1b|\x07|\x9b|\u202e", once.everything)


def test_rendered_markdown_holds_no_control_character_but_styles() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", width=100)
    console.print(
        markdown(f"# {ATTACK}\n\n{ATTACK}\n\n* `{ATTACK}`\n\n```python\n{ATTACK}\n```\n[a](http://x/{ATTACK})")
    )
    left = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert not re.search(r"\x1b|\x07|\x9b|\r|\u202e", left)
    assert "[U+202E]" in left
    assert "[bold]x[/bold]" in left
    assert "31m a" in left


def test_mathematics_survives_markdown() -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(markdown(r"\(x_1\) is \[2*3*4 \\ \{a\}\], **bold**, `\(c\)`, *so*, \boxed{7}"))
    shown = console.file.getvalue().strip()  # type: ignore[attr-defined]
    assert shown == r"\(x_1\) is \[2*3*4 \\ \{a\}\], bold, \(c\), so, \boxed{7}"


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("one line", ""),
        ("a\n\nb", "a\n\n"),
        ("a\n\n", ""),
        ("1. a\n\n   more\n\n2. b", "1. a\n\n   more\n\n"),
        ("```\na\n\nb\n\nc", ""),
        ("x\n\n```\na\n\nb\n```\n\nc", "x\n\n```\na\n\nb\n```\n\n"),
    ],
)
def test_only_whole_blocks_are_complete(text: str, complete: str) -> None:
    assert text[: num_complete(text)] == complete


def test_a_family_of_emoji_and_tabs_are_left_as_they_are() -> None:
    text = "\U0001f468\u200d\U0001f469\u200d\U0001f467\tx\r\ny\n"
    assert with_controls_shown(text) == text.replace("\r", "")


def chat(*words: str, expect: int = 0) -> tuple[str, str]:
    done = run([sys.executable, "-m", "thinkwright", "chat", *words], expect=expect)
    return done.stdout, done.stderr


def test_once_gives_the_answer_to_one_stream_and_the_thought_to_the_other(script: Script) -> None:
    assert chat(script.url, "--once", "What?") == ("It is **two**.\n", "I add.\nThought for 0.0 s, 184 tokens\n")
    assert chat(script.url, "--once", "What?", "--show-thoughts", "closed")[1] == "Thought for 0.0 s, 184 tokens\n"
    script.events = told({"content": "I add.</think>"}, {"content": "Two."})
    assert chat(script.url, "--once", "What?")[0] == "Two.\n"
    chat(
        script.url, "--once", "What?", "--thinking", "off", "--max-tokens", "7", "--temperature", "0", "--top-p", "0.5"
    )
    asked = script.bodies[-1]
    assert (asked["reasoning_effort"], asked["max_tokens"], asked["temperature"], asked["top_p"]) == ("none", 7, 0, 0.5)


def test_once_fails_with_what_came_and_why(script: Script) -> None:
    script.events = [delta(reasoning="Hm."), delta(content="Tw")]
    out, err = chat(script.url, "--once", "What?", expect=1)
    assert out == "Tw\n"
    assert "Hm.\nThought for" in err
    assert "cut the reply off in the middle" in err
    script.events = told({"reasoning": "Hm."}, reason="length")
    out, err = chat(script.url, "--once", "What?", expect=1)
    assert out == ""
    assert "(not finished)" in err
    assert "raise --max-tokens, or give a --budget" in err
    assert "nothing answers there" in chat("http://127.0.0.1:1/v1", "--once", "What?", expect=1)[1]


def test_lines_of_a_pipe_are_questions(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("What?\n/new\n\n/think on\nAgain?\n"))
    out, _ = chat(script.url)
    assert out == "It is **two**.\n" * 2
    assert [len(body["messages"]) for body in script.bodies] == [1, 1]
    assert script.bodies[1]["thinking"] == {"type": "enabled"}
    monkeypatch.setattr(sys, "stdin", io.StringIO("What?\n"))
    script.status = 500
    chat(script.url, expect=1)


@pytest.mark.parametrize(
    ("words", "told_"),
    [
        (["http://127.0.0.1:1/v1#a", "--template", "r1_zero"], "--template: a server has its own"),
        (["tiny-base", "--key-variable", "A"], "--key-variable: is for a server"),
        (["http://127.0.0.1:99999/v1"], "Port out of range"),
        (["http://127.0.0.1:1/v1#a", "--key-variable", "NO_SUCH_KEY"], "NO_SUCH_KEY is empty or not set"),
        (["http://127.0.0.1:1/v1#a", "--thinking", "off", "--budget", "9"], "--budget: of no thought"),
        (["http://127.0.0.1:1/v1#a", "--once", " "], "--once: the question is empty"),
    ],
)
def test_what_has_no_effect_or_meaning_is_refused(
    words: list[str], told_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", *words]) == 1
    assert told_ in capsys.readouterr().err


def test_a_server_with_several_models_lists_them_and_changes_between_them(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.models = {"data": [{"id": "one"}, {"id": "two\x1b[2J"}]}
    said = chat(script.url, "--once", "What?", expect=1)[1]
    assert f"has several models: one, two[U+001B][2J; write {script.url}#one" in said
    lines = "/model\n/model three\n/model one\nWhat?\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    _, err = chat(f"{script.url}#two")
    assert "the server has no 'three'" in err
    assert "talking with one" in err
    assert script.bodies[-1]["model"] == "one"


@pytest.mark.slow
def test_a_shipped_model_is_served_and_talked_with() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "thinkwright", "chat", "tiny-base", "--temperature", "0", "--budget", "30"],
        input="What is 1 + 1?\n/model\n/think off\n/retry\n",
        cwd=REPOSITORY, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    loading, thinking, *others = done.stderr.splitlines()
    assert (loading, "* tiny-base" in others) == ("loading tiny-base ...", True)
    assert thinking
    # Of the two replies one had a thought.
    assert done.stderr.count("Thought for ") == 1
    assert "0 tokens" not in done.stderr
    assert len(done.stdout.splitlines()) >= 2
