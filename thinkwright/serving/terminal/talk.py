"""A chat in the terminal: questions, replies, and the commands between them.

Earlier thoughts are not sent back, as R1 would have it, and neither is a question that was left without an answer.
"""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinkwright.errors import EndpointError
from thinkwright.models.endpoint import Message
from thinkwright.serving.terminal.client import ChatClient, ChatOptions, End
from thinkwright.serving.terminal.screen import Plain, Screen, ShownReply, Shows, Writer

PROMPT = ">>> "
_WELCOME = "Talking with {}. /help lists the commands, Ctrl-C stops a reply, Ctrl-D leaves."
_STOPPED = "(stopped; what came is kept)"


@dataclass
class Turn:
    """A question with the reply to it."""

    question: str
    reply: ShownReply


class Chat:
    """One conversation and how it is carried on."""

    def __init__(self, client: ChatClient, name: str, options: ChatOptions, system: str | None, writer: Writer) -> None:
        self.client, self.name, self.options, self.system, self.writer = client, name, options, system, writer
        self.turns: list[Turn] = []
        self.has_ended = False

    def ask(self, question: str) -> bool:
        """Show the reply as it comes; False if it failed, was stopped, or has no answer. What came is kept."""
        reply = ShownReply(self.name)
        self.turns.append(Turn(question, reply))
        messages = self._messages()
        problem: str | None = None
        self.writer.begin(reply)
        try:
            with contextlib.closing(self.client.reply(self.name, messages, self.options)) as pieces:
                for piece in pieces:
                    if isinstance(piece, End):
                        reply.end = piece
                    else:
                        reply.add(piece)
                        self.writer.add(piece)
        except EndpointError as error:
            problem = f"thinkwright: {error}"
        except KeyboardInterrupt:
            problem = _STOPPED
        finally:
            self.writer.finish()
        if problem is None and not reply.answer.strip():
            problem = _no_answer(reply)
        if problem is not None:
            self.writer.note(problem)
        elif reply.end and reply.end.reason == "length":
            self.writer.note("(cut off at the limit of tokens; raise --max-tokens)")
        return problem is None

    def _messages(self) -> list[Message]:
        """All that is sent; the last turn's question at the end."""
        *earlier, last = self.turns
        found: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        for turn in earlier:
            if answer := turn.reply.answer.strip():
                found.append({"role": "user", "content": turn.question})
                found.append({"role": "assistant", "content": answer})
        return [*found, {"role": "user", "content": last.question}]


def chat(client: ChatClient, name: str, options: ChatOptions, *, system: str | None, shows: Shows) -> int:
    """Questions from the terminal, or line by line from whatever the input is, until it ends; gives the exit code.

    A terminal's questions that fail leave it 0; of other input, 1 if any failed.
    """
    is_terminal = sys.stdin.isatty()
    writer = Screen(shows) if sys.stdout.isatty() else Plain(shows)
    talk = Chat(client, name, options, system, writer)
    if is_terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # gives input() its history and its keys
        writer.note(_WELCOME.format(name))
    has_failed = False
    while not talk.has_ended:
        try:
            line = input(PROMPT) if is_terminal else input()
        except EOFError:
            break
        except KeyboardInterrupt:
            writer.note("\nCtrl-D or /quit leaves.")
            continue
        if line.startswith("/"):
            _command(talk, line)
        elif line.strip():
            has_failed |= not talk.ask(line.strip())
    if is_terminal:
        print()
    return int(has_failed and not is_terminal)


def ask_once(
    client: ChatClient, name: str, options: ChatOptions, *, system: str | None, shows: Shows, text: str
) -> int:
    """One question: the answer to stdout, the thought and all else to stderr. 1 if there was no whole answer."""
    return 0 if Chat(client, name, options, system, Plain(shows)).ask(text) else 1


def _no_answer(reply: ShownReply) -> str:
    reason = reply.end.reason if reply.end else None
    if reason == "length":
        return "(the limit of tokens was reached before an answer; raise --max-tokens, or give a --budget)"
    return "(the reply has no answer)"


def _command(talk: Chat, line: str) -> None:
    word, _, rest = line.partition(" ")
    if word not in COMMANDS:
        talk.writer.note(f"no such command: {word}; /help lists them (a question may begin with a blank and then /)")
        return
    try:
        COMMANDS[word][0](talk, rest.strip())
    except (EndpointError, OSError, ValueError) as error:
        talk.writer.note(f"{word}: {error}")


def _help(talk: Chat, rest: str) -> None:
    for name, (_, arguments, about) in COMMANDS.items():
        talk.writer.note(f"{f'{name} {arguments}':18} {about}")


def _new(talk: Chat, rest: str) -> None:
    talk.turns.clear()
    talk.writer.note("a new conversation")


def _think(talk: Chat, rest: str) -> None:
    values = {"on": True, "off": False, "": None}
    if rest not in values:
        raise ValueError("write /think on, /think off, or /think for what the server does by itself")
    talk.options = dataclasses.replace(talk.options, is_thinking=values[rest])
    talk.writer.note(f"thinking: {rest or 'as the server has it'}")


def _budget(talk: Chat, rest: str) -> None:
    if rest in ("", "off"):
        talk.options = dataclasses.replace(talk.options, budget=None)
        talk.writer.note("no budget")
        return
    if not (rest.isascii() and rest.isdigit()) or int(rest) < 1:
        raise ValueError("write /budget and a number of tokens, or /budget off")
    talk.options = dataclasses.replace(talk.options, budget=int(rest))
    talk.writer.note(f"thoughts end after {int(rest):,} tokens")


def _thought(talk: Chat, rest: str) -> None:
    if not talk.turns or not talk.turns[-1].reply.thought:
        raise ValueError("the last reply has no thought")
    talk.writer.note(talk.turns[-1].reply.thought)


def _retry(talk: Chat, rest: str) -> None:
    if not talk.turns:
        raise ValueError("nothing was asked yet")
    talk.ask(talk.turns.pop().question)


def _model(talk: Chat, rest: str) -> None:
    names = talk.client.models()
    if not rest:
        for name in names:
            talk.writer.note(f"{'*' if name == talk.name else ' '} {name}")
    elif rest not in names:
        raise ValueError(f"the server has no {rest!r}; /model lists what it has")
    else:
        talk.name = rest
        talk.writer.note(f"talking with {rest}")


def _save(talk: Chat, rest: str) -> None:
    if not rest:
        raise ValueError("write /save and the name of a file")
    if not talk.turns:
        raise ValueError("nothing was said yet")
    text = json.dumps(_record(talk), ensure_ascii=False, indent=1) + "\n"
    with Path(rest).expanduser().open("x", encoding="utf-8") as file:
        file.write(text)
    talk.writer.note(f"saved as {rest}")


def _record(talk: Chat) -> dict[str, Any]:
    """The conversation in the form of OpenAI's API, thoughts included."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": talk.system}] if talk.system else []
    for turn in talk.turns:
        reply = turn.reply
        messages.append({"role": "user", "content": turn.question})
        found: dict[str, Any] = {"role": "assistant", "content": reply.answer, "model": reply.name}
        found |= {"reasoning_content": reply.thought} if reply.thought else {}
        messages.append(found | {"finish_reason": reply.end.reason if reply.end else None})
    return {"model": talk.name, "options": dataclasses.asdict(talk.options), "messages": messages}


def _quit(talk: Chat, rest: str) -> None:
    talk.has_ended = True


COMMANDS: dict[str, tuple[Callable[[Chat, str], None], str, str]] = {
    "/help": (_help, "", "this list"),
    "/new": (_new, "", "begin a new conversation"),
    "/think": (_think, "on|off", "switch thinking; alone: as the server has it"),
    "/budget": (_budget, "N|off", "tokens after which a thought is to end"),
    "/thought": (_thought, "", "show the last thought"),
    "/retry": (_retry, "", "ask the last question again"),
    "/save": (_save, "FILE", "write the conversation as JSON, thoughts included"),
    "/model": (_model, "[NAME]", "list the server's models, or talk with another one"),
    "/quit": (_quit, "", "leave"),
}
"""What does it, what it takes, what it is for."""
