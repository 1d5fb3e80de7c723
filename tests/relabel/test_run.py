"""The main job end to end: what comes out, checked by program over the whole output."""

import errno
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from embodied_cf.datasets.columns import Columns
from embodied_cf.datasets.contract import SCHEMA_VERSION
from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.motion import future_chunks, track_of
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.errors import OutputError, UsageError
from embodied_cf.language.meaning import judge
from embodied_cf.language.verdict import FAIL, PASS
from embodied_cf.relabel.build import survey
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.output import Output
from embodied_cf.relabel.runner import relabel


def _lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def episodes(relabelled):
    """[(episode, meaning, body, segments)] of the whole output."""
    directory, spec_name, out, _ = relabelled
    spec = load_spec(spec_name, directory)
    source = open_dataset(directory)
    setting = survey(source, spec, source.shards(), RelabelOptions(directory, out, spec_name))
    meaning = setting.profile.meaning(setting.body)
    from embodied_cf.relabel.segment import ThresholdSegmenter

    found = []
    for episode in read_episodes(open_dataset(out), spec):
        segments = ThresholdSegmenter().segment(track_of(episode, setting.body), setting.body, meaning)
        found.append((episode, meaning, setting.body, segments))
    return found


def test_original_bytes_are_a_prefix_of_every_record(relabelled):
    directory, _, out, result = relabelled
    source, labelled = open_dataset(directory), open_dataset(out)
    pairs = list(zip(source.records(), labelled.records(), strict=True))
    assert len(pairs) == result.episodes
    for (old_id, old), (new_id, new) in pairs:
        assert old_id == new_id
        assert new.startswith(old)
        assert len(new) > len(old)


def test_every_frame_is_covered_and_every_branch_point_has_a_counterfactual(relabelled):
    _, _, out, result = relabelled
    rows = list(Output(out).rows())
    assert sum(row["counts"]["branch points"] for row in rows) == result.steps - result.episodes
    assert sum(row["counts"]["branch points without counterfactual"] for row in rows) == 0
    labelled_or_said = sum(row["counts"]["uncovered steps"] for row in rows)
    assert labelled_or_said <= 0.1 * result.steps


def test_no_counterfactual_repeats_the_fact_or_contradicts_its_chunk(episodes):
    checked = 0
    for episode, meaning, body, segments in episodes:
        labels = episode.labels["labels"]
        rows = np.flatnonzero([kind == "counterfactual" for kind in labels.kind])
        cf = labels.take(rows)
        factual = segments.commands_at(cf.start)
        assert all(ours != fact for ours, fact in zip(cf.command, factual, strict=True))
        track = track_of(episode, body)
        start = cf.start.astype(np.int64)
        done = meaning.of_track(track, start, np.minimum(start + body.chunk_length, len(track) - 1))
        command = [meaning.vocabulary.index[name] for name in cf.command]
        assert (done[command, np.arange(len(cf))] != PASS).all()
        table = meaning.of_chunks(cf.action, cf.action_mask, track[cf.start])
        assert (judge(table, meaning.vocabulary, cf.instruction) == PASS).all()
        checked += len(cf)
    assert checked > 100


def test_no_label_of_any_kind_contradicts_its_own_chunk(episodes):
    for episode, meaning, body, _ in episodes:
        labels = episode.labels["labels"]
        track = track_of(episode, body)
        short = labels.end - labels.start <= body.chunk_length
        table = meaning.of_chunks(labels.action, labels.action_mask, track[labels.start])
        verdict = judge(table, meaning.vocabulary, labels.instruction)
        assert not (verdict[short] == FAIL).any()


def test_factual_rows_hold_the_real_future(episodes):
    for episode, _, body, _ in episodes:
        labels = episode.labels["labels"]
        factual = labels.take(np.flatnonzero([kind != "counterfactual" for kind in labels.kind]))
        start, end = factual.start.astype(np.int64), factual.end.astype(np.int64)
        chunk, mask = future_chunks(track_of(episode, body), body, start, end)
        np.testing.assert_array_equal(factual.action, chunk)
        np.testing.assert_array_equal(factual.action_mask, mask)
        assert (end < len(episode)).all()


def test_one_observation_meets_several_instructions(episodes):
    per_step = [
        len({text for text, start, kind in zip(labels.instruction, labels.start, labels.kind, strict=True)
             if kind == "counterfactual" and start == step})
        for episode, *_ in episodes for labels in [episode.labels["labels"]] for step in range(len(episode) - 1)
    ]  # fmt: skip
    assert min(per_step) >= 1
    assert np.mean(per_step) > 2


def test_every_source_resolves_to_its_provenance(relabelled, episodes):
    *_, out, _ = relabelled
    rows = {row["source"]: row["row"] for row in _lines(out / "labels" / "provenance.jsonl")}
    used = {source for episode, *_ in episodes for source in episode.labels["labels"].source}
    assert used == set(rows)
    for source, row in rows.items():
        assert hashlib.sha256(row.encode()).hexdigest()[:16] == source
        assert {"captioner", "proposer", "synthesizer", "verifier", "seed", "kind", "command"} <= set(json.loads(row))


def test_the_manifest_tells_the_truth(relabelled):
    directory, _, out, result = relabelled
    run, *rows = _lines(out / "labels" / "manifest.jsonl")
    assert run["schema_version"] == SCHEMA_VERSION
    for row in rows:
        assert hashlib.sha256((directory / row["shard"]).read_bytes()).hexdigest() == row["sha256_in"]
        assert hashlib.sha256((out / row["shard"]).read_bytes()).hexdigest() == row["sha256_out"]
    records = [hashlib.sha256(record).hexdigest() for _, record in open_dataset(directory).records()]
    assert [digest for row in rows for digest in row["record_sha256"]] == records
    assert sum(row["labels"] for row in rows) == result.labels
    assert not (out / "labels" / "parts").exists()
    assert result.exit_code == 0


def test_per_step_texts_stand_beside_the_steps(relabelled):
    *_, out, _ = relabelled
    dataset = open_dataset(out)
    for episode_id, record in dataset.records():
        columns = Columns(record, dataset.features, episode_id)
        assert len(columns.texts("steps/language_instruction_hindsight")) == columns.steps


def test_views_show_steps_only_and_share_the_bytes(relabelled):
    *_, out, _ = relabelled
    view = open_dataset(out / "views" / "steps")
    assert not [key for key in view.features if key.startswith("labels")]
    assert "steps/language_instruction_hindsight" in view.features
    for shard in view.shards():
        assert shard.path.stat().st_ino == (out / shard.path.name).stat().st_ino


def test_the_same_command_again_changes_nothing(relabelled):
    directory, spec, out, result = relabelled
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and "report" not in path.name}
    again = relabel(RelabelOptions(directory, out, spec))
    assert again.resumed_shards == again.shards
    assert again.labels == result.labels
    assert {
        path: path.read_bytes() for path in out.rglob("*") if path.is_file() and "report" not in path.name
    } == before


def test_other_options_need_another_directory(relabelled):
    directory, spec, out, _ = relabelled
    with pytest.raises(OutputError, match="another run, which differs in seed, stages"):
        relabel(RelabelOptions(directory, out, spec, seed=1))


def test_seed_decides_the_bytes(arm, tmp_path):
    runs = [relabel(RelabelOptions(arm, tmp_path / name, "bridge", seed=seed))
            for name, seed in (("a", 3), ("b", 3), ("c", 4))]  # fmt: skip
    a, b, c = (hashlib.sha256(b"".join(p.read_bytes() for p in sorted((tmp_path / n).glob("*record*")))).hexdigest()
               for n in "abc")  # fmt: skip
    assert runs[0].labels == runs[1].labels
    assert a == b != c


def test_an_existing_label_set_is_refused_and_another_one_is_added(relabelled, tmp_path):
    _, spec, out, _ = relabelled
    with pytest.raises(UsageError, match=r"already has a label set 'labels'.* --label-set NAME"):
        relabel(RelabelOptions(out, tmp_path / "again", spec))
    relabel(RelabelOptions(out, tmp_path / "second", spec, label_set="retrieved", synthesizer="retrieval"))
    both = open_dataset(tmp_path / "second")
    first = next(read_episodes(both, load_spec(spec, out)))
    assert set(first.labels) == {"labels", "retrieved"}
    sources = {row["source"] for row in _lines(tmp_path / "second" / "labels" / "provenance.jsonl")}
    assert {source for labels in first.labels.values() for source in labels.source} <= sources


@pytest.mark.parametrize("options", [{"segmenter": "changepoint"}, {"synthesizer": "retrieval"}, {"stride": 4}])
def test_variants_keep_the_contract(source, tmp_path, options):
    directory, spec = source
    result = relabel(RelabelOptions(directory, tmp_path / "out", spec, **options))
    episodes = list(read_episodes(open_dataset(tmp_path / "out"), load_spec(spec, directory)))  # checks Labels
    assert sum(len(episode.labels["labels"]) for episode in episodes) == result.labels > 0


def test_words_of_an_earlier_label_set_are_not_the_datasets_own(driving, tmp_path):
    """A spec's pattern finds them beside the dataset's; taken for given they would go unjudged, and push out others."""
    spec = tmp_path / "mine.toml"
    text = (driving / "spec.toml").read_text()
    spec.write_text(text.replace('language = ["language_instruction"]', 'language = ["language_instruction*"]'))
    relabel(RelabelOptions(driving, tmp_path / "one", str(spec)))
    relabel(RelabelOptions(tmp_path / "one", tmp_path / "two", str(spec), label_set="second"))
    for episode in read_episodes(open_dataset(tmp_path / "two"), load_spec(str(spec))):
        first, second = episode.labels["labels"], episode.labels["second"]
        assert {span.source for span in episode.language} > {"steps/language_instruction"}
        for column in ("kind", "instruction", "command"):
            assert getattr(first, column) == getattr(second, column)
        for column in ("start", "end", "score"):
            np.testing.assert_array_equal(getattr(first, column), getattr(second, column))


def test_array_record_in_is_array_record_out(tmp_path):
    import makers

    source = makers.arm(tmp_path / "source", shards=1, file_format="array_record")
    result = relabel(RelabelOptions(source, tmp_path / "out", "bridge"))
    labelled = open_dataset(tmp_path / "out")
    assert labelled.file_format == "array_record"
    assert sum(1 for _ in read_episodes(labelled, load_spec("bridge"))) == result.episodes == 4


def test_a_limit_takes_the_first_episodes(driving, tmp_path):
    result = relabel(RelabelOptions(driving, tmp_path / "out", limit=4))
    assert result.episodes == 4
    names = [episode_id for episode_id, _ in open_dataset(tmp_path / "out").records()]
    assert names == [episode_id for episode_id, _ in open_dataset(driving).records()][:4]


def test_tensorflow_and_its_like_stay_out(driving, tmp_path):
    import subprocess

    code = (
        "import sys; from pathlib import Path; from embodied_cf.relabel.options import RelabelOptions;"
        "from embodied_cf.relabel.runner import relabel; relabel(RelabelOptions(Path(sys.argv[1]), Path(sys.argv[2])));"
        "print([m for m in ('tensorflow', 'torch', 'jax', 'numba', 'openai') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, driving, tmp_path / "out"], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_source_is_never_written_to(driving, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(driving, copy)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in copy.iterdir()}
    relabel(RelabelOptions(copy, tmp_path / "out"))
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in copy.iterdir()} == before
    for inside in (copy, copy / "labels"):
        with pytest.raises(OutputError, match="is the source, or lies inside it"):
            relabel(RelabelOptions(copy, inside))


@pytest.mark.parametrize(("code", "copied"), [(errno.EPERM, True), (errno.ENOSPC, False)])
def test_a_file_system_without_hard_links_gets_copies(driving, tmp_path, monkeypatch, code, copied):
    def refuse(link, target):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    if not copied:
        with pytest.raises(OutputError, match="No space left on device"):
            relabel(RelabelOptions(driving, tmp_path / "out"))
        return
    relabel(RelabelOptions(driving, tmp_path / "out"))
    for shard in open_dataset(tmp_path / "out").shards():
        copy = tmp_path / "out" / "views" / "steps" / shard.name
        assert copy.read_bytes() == shard.path.read_bytes()
        assert copy.stat().st_nlink == 1
