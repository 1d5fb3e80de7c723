"""Label sets as a whole: list, filter, merge, drop."""

import hashlib
import json
import shutil

import pytest

from embodied_cf.cli import main
from embodied_cf.datasets.contract import Labels
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.label_edit import (
    Filter,
    Filtered,
    drop_set,
    filter_set,
    merge_sets,
    read_decisions,
    summarise_sets,
)
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.shards import ShardWriter, read_records
from embodied_cf.datasets.spec import load_spec
from embodied_cf.datasets.wire import encode_example
from embodied_cf.errors import DatasetError, OutputError, RecordError, UsageError
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.runner import relabel


@pytest.fixture(scope="module")
def labelled(arm, tmp_path_factory):
    out = tmp_path_factory.mktemp("labelled") / "out"
    relabel(RelabelOptions(arm, out, "bridge"))
    return out


def _labels(directory, name="labels"):
    return [episode.labels[name] for episode in read_episodes(open_dataset(directory), load_spec("bridge"))]


def _rows(tables):
    return {(i, t.kind[r], int(t.start[r]), t.instruction[r]) for i, t in enumerate(tables) for r in range(len(t))}


def _shards(directory):
    return {
        shard.name: hashlib.sha256(shard.path.read_bytes()).hexdigest() for shard in open_dataset(directory).shards()
    }


def test_dropping_the_only_set_gives_back_the_source_bit_by_bit(arm, labelled, tmp_path):
    drop_set(labelled, tmp_path / "dropped", "labels")
    assert _shards(tmp_path / "dropped") == _shards(arm)
    assert open_dataset(tmp_path / "dropped").features == open_dataset(arm).features
    last = json.loads((tmp_path / "dropped" / "labels" / "manifest.jsonl").read_text().splitlines()[-1])
    assert (last["type"], last["operation"]) == ("edit", "drop")


def test_a_summary_counts_what_is_there(labelled):
    (summary,) = summarise_sets(open_dataset(labelled))
    tables = _labels(labelled)
    assert summary.labels == sum(map(len, tables)) == sum(summary.kinds.values())
    assert summary.instructions == len({text for table in tables for text in table.instruction})


def test_a_filter_keeps_kinds_scores_and_rewrites_the_step_texts(labelled, tmp_path):
    filter_set(labelled, tmp_path / "kept", "labels", Filter(kinds=("counterfactual",)))
    kept, before = _labels(tmp_path / "kept"), _labels(labelled)
    assert _rows(kept) == {row for row in _rows(before) if row[1] == "counterfactual"}
    dataset = open_dataset(tmp_path / "kept")
    from embodied_cf.datasets.columns import Columns

    for name, record in dataset.records():
        texts = Columns(record, dataset.features, name).texts("steps/language_instruction_hindsight")
        assert set(texts) == {""}, "no factual label is left to speak for a step"
    filter_set(labelled, tmp_path / "none", "labels", Filter(min_score=1.1))
    assert _rows(_labels(tmp_path / "none")) == set()


def test_a_readers_rejections_are_applied(labelled, tmp_path):
    episode = next(read_episodes(open_dataset(labelled), load_spec("bridge")))
    table = episode.labels["labels"]
    decisions = tmp_path / "decisions.jsonl"
    lines = [
        {"episode": episode.episode_id, "label_set": "labels", "kind": table.kind[row], "start": int(table.start[row]),
         "end": int(table.end[row]), "instruction": table.instruction[row], "command": table.command[row],
         "decision": "reject" if row < 3 else "accept"}
        for row in range(5)
    ]  # fmt: skip
    decisions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rejected = read_decisions(decisions, "labels")
    assert len(rejected) == 3
    assert read_decisions(decisions, "another") == frozenset()
    stray = (episode.episode_id, "atomic", 0, 1, "words of another report", "")
    done = filter_set(labelled, tmp_path / "kept", "labels", Filter(rejected=rejected | {stray}))
    before = sum(map(len, _labels(labelled)))
    assert done == Filtered(before=before, kept=before - 3, unmatched=1)
    assert [len(t) for t in _labels(tmp_path / "kept")] == [len(table) - 3, *(len(t) for t in _labels(labelled)[1:])]


def test_a_bad_decision_is_named(tmp_path):
    (tmp_path / "d").write_text('{"episode": 1}\n')
    with pytest.raises(UsageError, match=r"d, line 1: not a decision \('label_set'\)"):
        read_decisions(tmp_path / "d", "labels")
    with pytest.raises(UsageError, match="cannot be read"):
        read_decisions(tmp_path / "absent", "labels")
    (tmp_path / "latin").write_bytes(b'{"instruction": "caf\xe9"}\n')
    with pytest.raises(UsageError, match=r"latin: cannot be read \(not UTF-8\)"):
        read_decisions(tmp_path / "latin", "labels")


def test_a_decision_about_words_with_a_line_separator(tmp_path):
    """Browsers write U+2028 as it is, and Python takes it for the end of a line."""
    row = {"episode": "e", "label_set": "labels", "kind": "hindsight", "start": 0, "end": 2, "command": "",
           "instruction": "go\u2028to the\x85door", "decision": "reject"}  # fmt: skip
    (tmp_path / "d").write_text(json.dumps(row, ensure_ascii=False) + "\n", "utf-8")
    assert read_decisions(tmp_path / "d", "labels") == {("e", "hindsight", 0, 2, row["instruction"], "")}


def test_merging_adds_rows_once(arm, labelled, tmp_path):
    relabel(RelabelOptions(arm, tmp_path / "other", "bridge", seed=5))
    merge_sets(labelled, tmp_path / "other", tmp_path / "both", "labels")
    ours, theirs, both = _labels(labelled), _labels(tmp_path / "other"), _labels(tmp_path / "both")
    assert _rows(both) == _rows(ours) | _rows(theirs)
    merge_sets(labelled, labelled, tmp_path / "self", "labels")
    assert list(map(len, _labels(tmp_path / "self"))) == list(map(len, ours))
    sources = {json.loads(line)["source"]
               for line in (tmp_path / "both" / "labels" / "provenance.jsonl").read_text().splitlines()}  # fmt: skip
    assert {source for table in both for source in table.source} <= sources
    merge_sets(arm, labelled, tmp_path / "fresh", "copied", "labels")
    assert _rows(_labels(tmp_path / "fresh", "copied")) == _rows(ours)


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        (("filter", "{labelled}", "{out}", "--min-score", "2"), {"before": "all", "kept": 0, "unmatched": 0}),
        (("merge", "{labelled}", "{labelled}", "{out}"), {"first": "all", "second": "all", "together": "all"}),
        (("drop", "{labelled}", "{out}"), {"dropped": "labels"}),
    ],
)
def test_the_verbs_say_what_they_did(verb, told, labelled, tmp_path, capsys):
    places = {"labelled": labelled, "out": tmp_path / "out"}
    arguments = ["labels", *(part.format(**places) for part in verb)]
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--json", str(tmp_path)])
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--json", str(tmp_path / "told.json")])
    count = sum(map(len, _labels(labelled)))
    wanted = {name: count if value == "all" else value for name, value in told.items()}
    assert json.loads((tmp_path / "told.json").read_text()) == {"dataset": str(tmp_path / "out"), **wanted}
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'out'}: ")


def test_what_does_not_go_together_is_named(labelled, driving, tmp_path):
    with pytest.raises(UsageError, match=r"no label set 'absent'\. It has: labels"):
        drop_set(labelled, tmp_path / "out", "absent")
    relabel(RelabelOptions(driving, tmp_path / "nav"))
    with pytest.raises(DatasetError, match=r"chunks of shape \(8, 7\) and \(8, 2\) do not go together"):
        merge_sets(labelled, tmp_path / "nav", tmp_path / "out", "labels")
    with pytest.raises(DatasetError, match="do not label the same records"):
        merge_sets(tmp_path / "nav", labelled, tmp_path / "out", "other", "labels")
    with pytest.raises(OutputError, match="not empty"):
        drop_set(labelled, tmp_path / "nav", "labels")
    relabel(RelabelOptions(driving, tmp_path / "first", limit=1))
    for pair in (("first", "nav"), ("nav", "first")):
        with pytest.raises(DatasetError, match=r"do not label the same records|labels more records"):
            merge_sets(*(tmp_path / name for name in pair), tmp_path / "out", "labels")
    for inside in (tmp_path / "nav" / "out", tmp_path / "nav"):
        with pytest.raises(OutputError, match="the output directory is the source, or lies inside it"):
            filter_set(tmp_path / "nav", inside, "labels", Filter())
        with pytest.raises(OutputError, match="the output directory is the source, or lies inside it"):
            merge_sets(driving, tmp_path / "nav", inside, "labels")
    assert not (tmp_path / "nav" / "out").exists()
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_broken_record_ends_an_edit_and_leaves_nothing(labelled, tmp_path):
    copy = shutil.copytree(labelled, tmp_path / "copy")
    shard = open_dataset(copy).shards()[0].path
    raw = bytearray(shard.read_bytes())
    raw[300] ^= 1
    shard.unlink()
    shard.write_bytes(raw)
    with pytest.raises(RecordError, match="record 0: the data's checksum is wrong"):
        drop_set(copy, tmp_path / "out", "labels")
    assert not (tmp_path / "out").exists()


def test_quarantined_episodes_pass_through_an_edit(arm, tmp_path):
    """What is no Example at all, and an episode whose number of steps cannot be told, hold no labels."""
    source = shutil.copytree(arm, tmp_path / "source")
    shard = open_dataset(source).shards()[0].path
    sound = [record.data for record in read_records(shard, "tfrecord")]
    with ShardWriter(shard, "tfrecord") as writer:
        for record in (sound[0], b"\xff\xff no Example", sound[2] + encode_example({"steps/is_first": b"\x0a\x00"})):
            writer.write(record)
    for name in ("labels", "again"):
        given = source if name == "labels" else tmp_path / "labels"
        assert relabel(RelabelOptions(given, tmp_path / name, "bridge", label_set=name)).quarantined_episodes == 2
    first, second = summarise_sets(open_dataset(tmp_path / "again"))
    assert first.labels == second.labels > 0
    done = filter_set(tmp_path / "again", tmp_path / "kept", "again", Filter(kinds=("atomic",)))
    assert 0 < done.kept < done.before
    merge_sets(tmp_path / "labels", tmp_path / "again", tmp_path / "both", "labels", "again")
    drop_set(tmp_path / "again", tmp_path / "one", "again")
    assert _shards(tmp_path / "one") == _shards(tmp_path / "labels")
    drop_set(tmp_path / "one", tmp_path / "none", "labels")
    assert _shards(tmp_path / "none") == _shards(source)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kind": ("guess",)}, "a kind outside"),
        ({"instruction": ("",)}, "an empty instruction"),
        ({"command": ("a", "b")}, "columns of different length"),
    ],
)
def test_labels_that_break_the_contract_are_named(change, problem):
    import numpy as np

    good = {
        "kind": ("counterfactual",), "start": np.array([2], np.int32), "end": np.array([10], np.int32),
        "instruction": ("stop",), "command": ("stop",), "action": np.zeros((1, 8, 2), np.float32),
        "action_mask": np.ones((1, 8), bool), "score": np.ones(1, np.float32), "source": ("0" * 16,),
    }  # fmt: skip
    assert len(Labels(**good)) == 1
    with pytest.raises(RecordError, match=problem):
        Labels(**(good | change))
