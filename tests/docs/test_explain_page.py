"""The Python of docs/explain.md, but for the search for a policy, which takes a minute."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # where guide_blocks lies
from guide_blocks import blocks


def test_the_examples_run_and_say_what_their_comments_say(capsys):
    episode, view, _ = (block for block in blocks("docs/explain.md") if block.language == "python")
    names: dict = {}
    exec(compile(episode.text, f"{episode.page}:{episode.line}", "exec"), names)
    assert "What decided it was decision 2" in capsys.readouterr().out
    exec(compile(view.text, f"{view.page}:{view.line}", "exec"), names)
    assert names["told"].causes
