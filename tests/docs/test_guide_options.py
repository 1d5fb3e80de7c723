"""Every command that README and documentation show is one that the command line takes."""

import contextlib
import io
import re

import guide_blocks as guide
import pytest
import tyro

from embodied_cf.cli import Verb

CONFIG = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
SHOWN = [
    (block, command)
    for page in guide.all_pages()
    for block in guide.blocks(page)
    if block.language == "bash"
    for command in guide.commands(block)
    if command.arguments
]


@pytest.mark.parametrize("page", sorted({block.page for block, _ in SHOWN}))
def test_commands_are_taken(page):
    """Parsed with values, choices and checks; nothing is run."""
    for block, command in SHOWN:
        if block.page == page:
            _taken(command.arguments, f"{page}:{block.line}: {command.text}")


def _taken(arguments, where):
    try:
        tyro.cli(Verb, args=arguments, config=CONFIG, console_outputs=False)
    except SystemExit:
        pytest.fail(where)


def test_a_wrong_option_is_noticed():
    with pytest.raises(pytest.fail.Exception, match="here"):
        _taken(["inspect", "DATASET", "--htlm", "x.html"], "here")


def test_readme_shows_every_verb_of_the_main_road():
    verbs = {command.arguments[0] for block, command in SHOWN if block.page == "README.md"}
    assert verbs >= {"inspect", "relabel", "labels", "convert", "collect", "train", "evaluate", "explain", "crm"}


LEAVES = """demo, inspect, relabel, collect, train, evaluate, serve, convert, labels list, labels filter, labels merge,
labels drop, explain policy, explain episode, explain input, crm evaluate, crm fit, crm improve"""


@pytest.fixture(scope="module")
def options():
    """Every option of every verb."""
    told = io.StringIO()
    for leaf in LEAVES.split(","):
        with contextlib.redirect_stdout(told), pytest.raises(SystemExit):
            tyro.cli(Verb, args=[*leaf.split(), "--help"], config=CONFIG)
    return set(re.findall(r"--[a-z][a-z.-]*[a-z]", told.getvalue()))


@pytest.mark.parametrize("page", [page for page in guide.all_pages() if "/results/" not in page])
def test_options_named_in_running_text_exist(page, options):
    """In `code` that begins with `--` or `embodied-cf`; what benchmarks take is their own affair."""
    text = re.sub(r"^```.*?^```", "", (guide.ROOT / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`((?:--|embodied-cf )[^`]*)`", text):
        for option in re.findall(r"(?<![\w-])--[a-z][a-z.-]*[a-z]", code):
            assert option in options, f"{page}: {code}"
