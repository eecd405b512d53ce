"""Votes: kept once acknowledged whatever happens, counted, and exported to what a reward model learns from."""

import asyncio
import json
import multiprocessing
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from multiprocessing import reduction
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.pipeline.command_line import run
from tests.serving.vote_files import keep_votes, vote, vote_body
from thinkwright.cli import main
from thinkwright.errors import DataError
from thinkwright.serving.votes import VoteStore, get_votes, post_vote, read_votes
from thinkwright.tasks.preferences import read_pairs


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VoteStore]:
    found = VoteStore(tmp_path / "new folder" / "votes.sqlite")
    yield found
    found.close()


@pytest.fixture
def client(store: VoteStore) -> Iterator[TestClient]:
    routes = [
        Route("/votes", partial(post_vote, store), methods=["POST"]),
        Route("/votes", partial(get_votes, store)),
    ]
    with TestClient(Starlette(routes=routes)) as found:
        yield found


def keep(path: Path, *votes: Any) -> None:
    async def work() -> None:
        store = VoteStore(path)
        for one in votes:
            await store.add(one)
        store.close()

    asyncio.run(work())


def test_votes_are_kept_once_and_counted_for_each_pair_of_models(client: TestClient, store: VoteStore) -> None:
    turned = [*reversed(vote_body()["replies"])]
    sent = [
        vote_body(1),
        vote_body(2, choice="first"),
        vote_body(3, replies=turned, choice="first"),
        vote_body(4, choice="tie"),
        vote_body(5, replies=turned, choice="neither", note="both wrong"),
    ]
    assert [client.post("/votes", json=body).status_code for body in sent] == [201] * 5
    again = client.post("/votes", json=vote_body(1, choice="first"))
    assert (again.status_code, again.json()) == (200, {"id": sent[0]["id"], "is_new": False})
    pair = {"models": ["new", "old"], "wins": [2, 1], "ties": 1, "neither": 1}
    assert client.get("/votes").json() == {"num_votes": 5, "pairs": [pair]}
    assert [one.model_dump(mode="json") for one in read_votes(store.path)] == sent


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "7"}, "id: "),
        ({"question": ""}, "question: "),
        ({"question": "a" * 1_000_001}, "question: "),
        ({"choice": "both"}, "choice: "),
        ({"is_blind": "yes"}, "is_blind: "),
        ({"replies": vote_body()["replies"][:1]}, "replies: "),
        ({"replies": [{"model": "a"}] * 2}, "replies.0.answer: "),
        ({"replies": [{"model": "a", "answer": "b", "settings": {"x": {"deep": 1}}}] * 2}, "replies.0.settings"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: "),
        ({"unheard": 1}, "unheard: "),
    ],
)
def test_what_is_no_vote_is_refused_and_not_kept(change: dict[str, Any], words: str, client: TestClient) -> None:
    refused = client.post("/votes", json=vote_body() | change)
    assert refused.status_code == 400
    assert words in refused.json()["error"]["message"]
    assert len(refused.text) < 1000
    assert client.get("/votes").json()["num_votes"] == 0


def test_a_form_of_another_page_and_broken_json_are_refused(client: TestClient) -> None:
    text = json.dumps(vote_body())
    assert client.post("/votes", content=text, headers={"content-type": "text/plain"}).status_code == 415
    broken = client.post("/votes", content=text[:-1], headers={"content-type": "application/json"})
    assert (broken.status_code, client.get("/votes").json()["num_votes"]) == (400, 0)


def test_a_vote_that_cannot_be_written_is_not_acknowledged(
    client: TestClient, store: VoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.post("/votes", json=vote_body(1)).status_code == 201
    with closing(sqlite3.connect(store.path)) as other, other:
        other.execute("DROP TABLE votes")
    refused = client.post("/votes", json=vote_body(2))
    assert refused.status_code == 503
    assert "send it again" in refused.json()["error"]["message"]
    assert client.get("/votes").status_code == 503


@pytest.mark.slow
def test_kill_at_any_moment_loses_no_acknowledged_vote_and_doubles_none(tmp_path: Path) -> None:
    path, chance = tmp_path / "votes.sqlite", random.Random(1)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.serving.vote_files"])
    num_acknowledged = 0
    for _ in range(8):
        ours, theirs = os.pipe()
        # It begins with the one that may or may not have been kept, as a client does that heard nothing.
        process = context.Process(target=_keep, args=(path, num_acknowledged, reduction.DupFd(theirs)))
        process.start()
        os.close(theirs)
        with os.fdopen(ours, "rb") as told:
            first = told.readline()
            time.sleep(chance.uniform(0, 0.03))
            process.kill()
            lines = [first, *told.readlines()]
        process.join()
        assert [int(line) for line in lines] == list(range(num_acknowledged, num_acknowledged + len(lines)))
        num_acknowledged += len(lines)
        numbers = [int(one.question.split()[1]) for one in read_votes(path)]
        assert numbers in (list(range(num_acknowledged)), list(range(num_acknowledged + 1)))
    assert num_acknowledged > 50
    keep(path, vote(num_acknowledged + 7))


def _keep(path: Path, start: int, told: Any) -> None:
    keep_votes(path, start, told.detach())


def damaged(path: Path) -> None:
    keep(path, *[vote(number) for number in range(200)])
    content = bytearray(path.read_bytes())
    content[4096 : len(content) - 4096] = b"\x5a" * (len(content) - 2 * 4096)
    path.write_bytes(content)


def other(path: Path) -> None:
    with closing(sqlite3.connect(path)) as found, found:
        found.execute("CREATE TABLE songs (name TEXT)")


def later(path: Path) -> None:
    keep(path, vote())
    with closing(sqlite3.connect(path)) as found, found:
        found.execute("PRAGMA user_version = 9")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text("not a database " * 99), "file is not a database.*it is damaged"),
        (damaged, "it is damaged"),
        (other, "is a database of something else"),
        (later, "later version of thinkwright"),
        (lambda path: path.mkdir(), "unable to open database file.*folder that can be written to"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_at_once(make: Callable[[Path], Any], words: str, tmp_path: Path) -> None:
    make(tmp_path / "votes.sqlite")
    with pytest.raises(DataError, match=rf"votes.sqlite: .*{words}"):
        VoteStore(tmp_path / "votes.sqlite")


def test_the_first_vote_makes_the_file_and_where_it_cannot_the_server_runs_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = VoteStore(tmp_path / "file" / "votes.sqlite")
    routes = [
        Route("/votes", partial(post_vote, store), methods=["POST"]),
        Route("/votes", partial(get_votes, store)),
    ]
    with TestClient(Starlette(routes=routes)) as client:
        assert client.get("/votes").json() == {"num_votes": 0, "pairs": []}
        refused = client.post("/votes", json=vote_body())
        assert (refused.status_code, "its log says why" in refused.text) == (503, True)
        (tmp_path / "file").unlink()
        assert client.post("/votes", json=vote_body()).status_code == 201
        assert client.get("/votes").json()["num_votes"] == 1
    store.close()


def test_a_read_only_file_is_named_at_once() -> None:
    folder = Path(tempfile.mkdtemp())
    keep(folder / "votes.sqlite", vote())
    for path in (folder, *folder.iterdir()):
        path.chmod(path.stat().st_mode & ~0o222 | 0o444 | (0o111 if path.is_dir() else 0))
    was = os.geteuid()
    try:
        if was == 0:
            os.seteuid(65534)  # root may write anything
        with pytest.raises(DataError, match=r"votes cannot be kept there .*make the file and its folder writable"):
            VoteStore(folder / "votes.sqlite")
    finally:
        os.seteuid(was)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_export_writes_what_was_preferred_and_counts_what_was_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [("system", "Be brief."), ("user", "Hi."), ("assistant", "Hello."), ("user", "Is 1 + 1 even?")]
    messages = [{"role": role, "content": content} for role, content in before]
    other = [{"model": "third", "answer": "a"}, {"model": "old", "answer": "b"}]
    empty = [{"model": "old", "answer": "", "thought": "I did not"}, {"model": "new", "answer": "b"}]
    votes = [
        vote(1, messages=messages),
        vote(2, choice="first", is_blind=False),
        vote(3, choice="tie"),
        vote(4, choice="neither"),
        vote(5, replies=other, choice="first"),
        vote(6, replies=empty),
    ]
    keep(tmp_path / "votes.sqlite", *votes)
    out = tmp_path / "pairs.jsonl"

    def export(*words: str, expect: int = 0) -> str:
        out.unlink(missing_ok=True)
        told = ["preferences", "export", str(tmp_path / "votes.sqlite"), "--out", str(out), *words]
        assert main(told) == expect
        captured = capsys.readouterr()
        return captured.err if expect else captured.out

    said = export()
    assert "3 pairs from 6 votes" in said
    for reason in ("a tie", "neither reply was good", "empty"):
        assert f"1 votes left out: {reason}\n" in said
    first, second, third = (json.loads(line) for line in out.read_text().splitlines())
    assert first == {
        "question": "Be brief.\n\nHi. Assistant: Hello. User: Is 1 + 1 even?",
        "chosen": "well yes", "chosen_thought": "I add.", "rejected": "well no", "rejected_thought": "I add.",
        "first": "rejected", "votes": [1], "language": "en",
        "source": {"votes": "votes.sqlite", "id": str(votes[0].id), "chosen": "new", "rejected": "old",
                   "is_blind": True},
    }  # fmt: skip
    assert (second["chosen"], second["first"], third["chosen"]) == ("well well no", "chosen", "a")
    assert "1 votes left out: on other models than new" in export("--model", "new")
    assert len(out.read_text().splitlines()) == 2
    assert "1 votes left out: not blind" in export("--blind-only")
    assert "no vote prefers a reply (6 votes left out: on other models than none)" in export(
        "--model", "none", expect=1
    )
    assert not out.exists()
    assert main(["preferences", "export", str(tmp_path / "no.sqlite"), "--out", str(out)]) == 1
    assert "no.sqlite: no such file" in capsys.readouterr().err


def test_a_pair_holds_the_question_as_the_models_read_it(tmp_path: Path) -> None:
    # One that had no answer is read together with the next.
    read = "Hi.\n\nIs 1 + 1 even?"
    keep(tmp_path / "votes.sqlite", vote(1, messages=[{"role": "user", "content": read}], question="Is 1 + 1 even?"))
    out = tmp_path / "pairs.jsonl"
    assert main(["preferences", "export", str(tmp_path / "votes.sqlite"), "--out", str(out)]) == 0
    assert json.loads(out.read_text())["question"] == read


def test_a_reward_model_learns_from_exported_votes(
    model_folder: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(tmp_path / "votes.sqlite", *[vote(number) for number in range(1, 25)])
    pairs = tmp_path / "pairs.jsonl"
    assert main(["preferences", "export", str(tmp_path / "votes.sqlite"), "--out", str(pairs)]) == 0
    assert main(["preferences", "check", str(pairs)]) == 0
    assert "24 rows: 24 with both sides" in capsys.readouterr().out
    assert len(read_pairs([str(pairs)], both_sides=True)) == 24
    (tmp_path / "small.toml").write_text(
        f'type = "reward_model"\nmodel = "{model_folder("qwen2")}"\ndata = ["{pairs}"]\nmax_tokens = 1024\n'
        'reads = "summary"\nloss = "pairwise"\nbatch_size = 8\nlr = 1e-3\nheld_out_share = 0.2\n'
        '[machine]\ndevice = "cpu"\ndtype = "float32"\nthreads = 1\n'
    )
    run([sys.executable, "-m", "thinkwright", "run", str(tmp_path / "small.toml"), "--out", str(tmp_path / "r")])
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert (summary["status"], summary["steps"] >= 2) == ("finished", True)
