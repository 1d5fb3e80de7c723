import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from vlm_helpers import COLOURS, PROMPT, Loopback, colour_question, picture

from embodied_cf.errors import OutputError, VlmError
from embodied_cf.vlm.cache import SqliteCache
from embodied_cf.vlm.client import VlmClient, ask_all
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.question import Answer, Prompt, Question


def ask(options: ClientOptions, questions: list[Question]) -> tuple[list[Answer], dict]:
    async def run() -> tuple[list[Answer], dict]:
        async with VlmClient(options) as client:
            return await ask_all(client, questions), client.usage.summary()

    return asyncio.run(run())


def test_resume_asks_nothing_again(server: Loopback, tmp_path: Path) -> None:
    options = server.options(cache=tmp_path / "new" / "c.sqlite")
    questions = [colour_question(COLOURS[case % 8], case) for case in range(50)]
    first, _ = ask(options, questions[:30])
    second, usage = ask(options, questions)
    assert [answer.value for answer in second[:30]] == [answer.value for answer in first]
    assert all(answer.cached for answer in second[:30])
    assert (usage["requests"], usage["cached"]) == (20, 30)
    assert len(server.requests()) == 50
    third, usage = ask(ClientOptions(model="m", cache=options.cache, offline=True), questions)
    assert [answer.value for answer in third] == [answer.value for answer in second]
    assert third[0].sizes == ((32, 24),)


def test_all_that_matters_is_in_the_key(server: Loopback, tmp_path: Path) -> None:
    """Any change to what the answer depends on is another question; name and place of it are not."""
    cache = tmp_path / "c.sqlite"
    image = picture("red")
    base = Question(PROMPT, {"case": 0}, (image,))
    ask(server.options(cache=cache), [base])
    other_schema = {**PROMPT.schema, "description": "changed"}
    for options, question in [
        ({"model": "m2"}, base),
        ({"temperature": 0.5}, base),
        ({"seed": 1}, base),
        ({"max_output_tokens": 9}, base),
        ({"extra_body": {"top_p": 0.5}}, base),
        ({}, Question(PROMPT, {"case": 1}, (image,))),
        ({}, Question(PROMPT, {"case": 0}, (picture("red", mark=1),))),
        ({}, Question(PROMPT, {"case": 0}, (image, image))),
        ({}, Question(PROMPT, {"case": 0}, (image,), schema=other_schema)),
        ({}, Question(Prompt("colours", PROMPT.text + "{# v2 #}", PROMPT.schema), {"case": 0}, (image,))),
        ({}, Question(Prompt("colours2", PROMPT.text, PROMPT.schema), {"case": 0}, (image,))),
    ]:
        _, usage = ask(server.options(cache=cache, **options), [question])
        assert usage["cached"] == 0, (options, question)
    same = Question(PROMPT, {"case": 0}, (memoryview(image),), where="elsewhere", expected_output_tokens=9)
    _, usage = ask(server.options(cache=cache, concurrency=1, timeout_s=9.0), [same])
    assert usage["cached"] == 1


def test_offline_miss_names_the_question(tmp_path: Path) -> None:
    options = ClientOptions(model="m", cache=tmp_path / "c.sqlite", offline=True)
    with pytest.raises(VlmError, match="episode 3: colours: not in the answer cache"):
        ask(options, [colour_question("red", 3)])


def test_unusable_answers_are_not_stored(start_server, tmp_path: Path) -> None:
    server = start_server("--faults", "cut,cut")
    options = server.options(cache=tmp_path / "c.sqlite", max_rounds=1)
    with pytest.raises(VlmError):
        ask(options, [colour_question("red")])
    answers, _ = ask(options, [colour_question("red")])
    assert not answers[0].cached


WRITER = """
import sys
from pathlib import Path
from embodied_cf.vlm.cache import SqliteCache
from embodied_cf.vlm.question import Answer
cache = SqliteCache(Path(sys.argv[1]))
for number in range(200):
    cache.put(f"{sys.argv[2]}-{number}", "p", "m", Answer({"by": sys.argv[2]}))
    cache.put(f"shared-{number}", "p", "m", Answer({"by": sys.argv[2]}))
"""


def test_several_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "ab"]
    assert [writer.wait(30) for writer in writers] == [0, 0]
    cache = SqliteCache(path)
    for number in range(200):
        for name in "ab":
            assert cache.get(f"{name}-{number}") == Answer({"by": name}, cached=True)
        shared = cache.get(f"shared-{number}")
        assert shared is not None
        assert shared.value["by"] in ("a", "b")
    cache.close()


def test_killed_writer_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    code = WRITER + "\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", code, str(path), "a"], timeout=30).returncode == -9
    cache = SqliteCache(path)
    assert cache.get("a-199") == Answer({"by": "a"}, cached=True)
    cache.close()


def test_first_answer_stays(tmp_path: Path) -> None:
    cache = SqliteCache(tmp_path / "c.sqlite")
    for number in (1, 2):
        cache.put("k", "p", "m", Answer({"n": number}, 3, 4))
    assert cache.get("k") == Answer({"n": 1}, 3, 4, cached=True)
    assert cache.get("other") is None
    cache.close()


def test_foreign_files_are_refused_by_name(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database " * 100)
    with pytest.raises(OutputError, match=r"notes.txt: answer cache cannot be used"):
        SqliteCache(text)
    newer = tmp_path / "newer.sqlite"
    with sqlite3.connect(newer) as file:
        file.execute("PRAGMA user_version=99")
    file.close()
    with pytest.raises(OutputError, match="newer version 99"):
        SqliteCache(newer)
    with pytest.raises(OutputError, match="cannot be used"):
        SqliteCache(tmp_path)
