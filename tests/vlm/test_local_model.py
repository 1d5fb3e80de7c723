"""A model within this process: its pixels and words come from the request, its answers go the way of a server's."""

import asyncio
import base64
import builtins
import json
import shutil
from dataclasses import replace

import makers
import pytest
import torch
from loopback_server import fill
from test_relabel_with_model import EVERY, colour_at, coloured_shard, digest
from tiny_chat import dictate, save_chat
from vlm_helpers import COLOURS, colour_question, picture

from embodied_cf.datasets.episodes import read_episodes
from embodied_cf.datasets.rlds import open_dataset
from embodied_cf.datasets.spec import load_spec
from embodied_cf.datasets.writer import DatasetCard, write_dataset
from embodied_cf.errors import CheckpointError, MissingLibraryError, UsageError, VlmError
from embodied_cf.relabel.options import RelabelOptions, VlmOptions
from embodied_cf.relabel.runner import relabel
from embodied_cf.vlm import local_model
from embodied_cf.vlm.client import VlmClient, ask_all
from embodied_cf.vlm.local_model import LocalModel, complete, label_of, load_chat
from embodied_cf.vlm.options import ClientOptions
from embodied_cf.vlm.question import Question
from embodied_cf.vlm.replay import replay_client
from embodied_cf.vlm.retry import Failure

torch.set_num_threads(1)
CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return save_chat(tmp_path_factory.mktemp("chat"))


@pytest.fixture
def chat(folder):
    return load_chat(folder, "fp32", CPU)


def request(text, *colours, most=12):
    urls = ["data:image/jpeg;base64," + base64.b64encode(picture(colour)).decode() for colour in colours]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"max_tokens": most, "messages": [{"role": "user", "content": [{"type": "text", "text": text}, *parts]}]}


def said(response):
    return json.loads(response)["choices"][0]


def options(folder, **changes):
    return ClientOptions(
        **{"model": label_of(folder), "max_output_tokens": 48, "max_rounds": 1, "seed": None, **changes}
    )


def ask(settings, model, *questions):
    async def run():
        async with VlmClient(settings, model) as client:
            return await ask_all(client, questions), client.usage

    return asyncio.run(run())


def as_asked(prompted):
    return json.dumps({"colour": f"colour {' then '.join(prompted.colours) or 'none'}", "note": "n"})


class TestAnswers:
    def test_company_changes_nothing(self, chat):
        """Padding on the left and neighbours in the batch leave greedy answers as they are."""
        bodies = [request("which colour?", "red"), request("which colour is this one, please?", "blue")]
        assert complete(chat, bodies) == [complete(chat, [body])[0] for body in bodies]

    def test_the_image_is_seen(self, chat):
        red, blue = complete(chat, [request("which colour?", "red"), request("which colour?", "blue")])
        assert said(red) != said(blue)

    def test_words_and_images_arrive_in_order(self, chat):
        heard = []
        dictate(chat, lambda prompted: heard.append(prompted) or "yes", aloud=False)
        complete(chat, [request("first, then?", "red", "green"), request("é {x}\n", "blue", "white")])
        assert [prompted.colours for prompted in heard] == [["red", "green"], ["blue", "white"]]
        assert heard[0].text.startswith("<|im_start|>User:first, then?<fake_token_around_image><global-img><image>")
        assert heard[1].text.endswith("<end_of_utterance>\nAssistant:")
        assert "User:é {x}\n<fake" in heard[1].text

    def test_the_end_of_an_answer_is_told_from_a_cut(self, chat):
        dictate(chat, lambda prompted: "yes" if "short" in prompted.text else "x" * 30)
        short, long = complete(chat, [request("short", "red"), request("long", "red")])
        assert said(short) == {"message": {"content": "yes"}, "finish_reason": "stop"}
        assert said(long) == {"message": {"content": "x" * 12}, "finish_reason": "length"}
        assert json.loads(short)["usage"]["completion_tokens"] == 4, "three letters and the end"
        assert json.loads(long)["usage"]["completion_tokens"] == 12

    def test_one_bad_request_spoils_no_other(self, chat):
        dictate(chat, lambda prompted: "yes", aloud=False)
        bad = request("an <image> that is none", "red")
        good, failed, also = complete(chat, [request("a", "red"), bad, request("b", "blue")])
        assert said(good)["message"] == said(also)["message"] == {"content": "yes"}
        assert isinstance(failed, Failure)
        assert "the model cannot answer this" in failed.text

    def test_what_does_not_fit_into_memory_is_halved(self, chat):
        sizes = []

        def full(input_ids, **rest):
            sizes.append(len(input_ids))
            if len(input_ids) > 1:
                raise torch.OutOfMemoryError("no more")
            return torch.cat([input_ids, torch.tensor([[2]])], dim=1)

        chat.model.generate = full
        assert len(complete(chat, [request("a", "red")] * 4)) == 4
        assert sizes == [4, 2, 1, 1, 2, 1, 1]


class TestThroughTheClient:
    def test_each_question_gets_its_own_answer(self, chat, folder):
        questions = [colour_question(COLOURS[case % 8], case) for case in range(5)]
        text_only = Question(questions[0].prompt, {"case": "none"})
        dictate(chat, as_asked, aloud=False)
        model = LocalModel(lambda: chat, batch_size=2)
        answers, usage = ask(options(folder), model, *questions, text_only)
        assert [answer.value["colour"] for answer in answers] == [
            *(f"colour {COLOURS[i]}" for i in range(5)),
            "colour none",
        ]
        assert (usage.requests, usage.faults.total(), usage.invalid.total()) == (6, 0, 0)
        assert usage.summary()["cost_usd"] is None

    def test_json_that_the_network_spells_is_an_answer(self, chat, folder):
        """Each token of the answer goes through the network's own generation loop."""
        dictate(chat, as_asked)
        answers, _ = ask(options(folder), LocalModel(lambda: chat), colour_question("green"), colour_question("red", 1))
        assert [answer.value["colour"] for answer in answers] == ["colour green", "colour red"]

    def test_random_weights_give_no_answer(self, chat, folder):
        with pytest.raises(
            VlmError, match="episode 0: colours: no usable answer even after a repair round: it was cut"
        ):
            ask(options(folder), LocalModel(lambda: chat), colour_question("red"))

    def test_a_bad_answer_is_repaired(self, chat, folder):
        dictate(
            chat,
            lambda prompted: as_asked(prompted) if "cannot be used" in prompted.text else "I see red.",
            aloud=False,
        )
        (answer,), usage = ask(options(folder), LocalModel(lambda: chat), colour_question("red"))
        assert answer.value["colour"] == "colour red"
        assert (usage.requests, usage.repaired, dict(usage.invalid)) == (2, 1, {"not_json": 1})

    def test_answers_are_cached_and_replayed_without_the_model(self, chat, folder, tmp_path):
        dictate(chat, as_asked, aloud=False)
        settings = options(folder, cache=tmp_path / "cache")
        ask(settings, LocalModel(lambda: chat), colour_question("red"))

        def never():
            raise AssertionError("the model is loaded although every answer is known")

        answers, usage = ask(settings, LocalModel(never), colour_question("red"))
        assert (answers[0].value["colour"], usage.cached) == ("colour red", 1)

        async def replay():
            async with replay_client(settings, tmp_path / "cache") as client:
                return await client.ask(colour_question("red"))

        assert asyncio.run(replay()).value == answers[0].value

    def test_a_budget_of_requests_holds(self, chat, folder):
        dictate(chat, as_asked, aloud=False)
        with pytest.raises(VlmError, match="budget is spent"):
            ask(
                options(folder, max_requests=1),
                LocalModel(lambda: chat),
                colour_question("red"),
                colour_question("red", 1),
            )

    def test_a_model_that_cannot_be_loaded_is_named(self, folder, tmp_path):
        model = LocalModel.of(tmp_path, "fp32", "cpu", 2)
        with pytest.raises(CheckpointError, match=str(tmp_path)):
            ask(options(folder), model, colour_question("red"), colour_question("blue", 1))


class TestFiles:
    def test_the_label_is_of_the_files_and_not_of_the_place(self, folder, tmp_path):
        copy = shutil.copytree(folder, tmp_path / "copy")
        assert label_of(copy) == label_of(folder)
        assert label_of(copy).startswith("local-hf:idefics3@")
        (copy / "chat_template.jinja").write_text("other")
        assert label_of(copy) != label_of(folder)

    def test_a_model_that_does_not_chat(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"no chat template\. Name one that is tuned to follow instructions"):
            load_chat(save_chat(tmp_path, template=None), "fp32", CPU)

    def test_missing_weights(self, folder, tmp_path):
        copy = shutil.copytree(folder, tmp_path / "copy")
        told = json.loads((copy / "config.json").read_text())
        told["text_config"]["num_hidden_layers"] = 2
        (copy / "config.json").write_text(json.dumps(told))
        with pytest.raises(CheckpointError, match=r"no weights for model\.text_model\.layers\.1"):
            load_chat(copy, "fp32", CPU)

    def test_no_weights_at_all_but_a_pickle(self, folder, tmp_path):
        copy = shutil.copytree(folder, tmp_path / "copy")
        (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match="not a readable pretrained model"):
            load_chat(copy, "fp32", CPU)

    def test_a_processor_that_reads_films_needs_torchvision(self, tmp_path, monkeypatch):
        def refuse(folder, local_files_only):
            raise ValueError(f"{folder} requires `torchvision` to be installed.")

        monkeypatch.setattr("transformers.AutoProcessor.from_pretrained", refuse)
        with pytest.raises(MissingLibraryError, match="pip install torchvision"):
            load_chat(tmp_path, "fp32", CPU)

    def test_without_the_extra(self, folder, monkeypatch):
        real = builtins.__import__

        def without(name, *args):
            if name == "transformers":
                raise ImportError(f"No module named {name!r}")
            return real(name, *args)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(MissingLibraryError, match=r"transformers.* pip install 'embodied-cf\[hf\]'"):
            load_chat(folder, "fp32", CPU)

    def test_no_such_directory(self, tmp_path):
        wanted = RelabelOptions(tmp_path, tmp_path / "out", captioner="hf")
        from embodied_cf.relabel.asking import client_options

        with pytest.raises(UsageError, match=r"gpt-4o-mini: no pretrained model here.* Name another --model"):
            client_options(wanted)


@pytest.fixture(scope="module")
def arm_logs(tmp_path_factory):
    out = tmp_path_factory.mktemp("coloured") / "1.0.0"
    write_dataset(out, DatasetCard("coloured"), makers.arm_features(), {"train": [lambda: coloured_shard(0)]})
    return out


class TestARun:
    def wanted(self, logs, out, folder, **vlm):
        vlm = VlmOptions(model=str(folder), every=EVERY, weights="fp32", device="cpu", max_new_tokens=900, **vlm)
        return RelabelOptions(logs, out, "bridge", captioner="hf", vlm=vlm)

    def test_labels_are_written_and_replayed(self, arm_logs, folder, tmp_path, monkeypatch):
        chat = load_chat(folder, "fp32", CPU)
        dictate(chat, lambda prompted: json.dumps(fill(json.loads(prompted.schema), prompted)), aloud=False)
        monkeypatch.setattr(local_model, "load_chat", lambda *_: chat)
        wanted = self.wanted(arm_logs, tmp_path / "out", folder)
        done = relabel(wanted)
        assert (done.exit_code, done.quarantined_episodes) == (0, 0)
        counterfactual = 0
        for number, episode in enumerate(read_episodes(open_dataset(tmp_path / "out"), load_spec("bridge"))):
            labels = episode.labels["labels"]
            for kind, text, start in zip(labels.kind, labels.instruction, labels.start.tolist(), strict=True):
                if kind == "counterfactual" and text.startswith("move towards the"):
                    counterfactual += 1
                    assert text.split()[3] == colour_at(number, start)
        assert counterfactual > 20
        monkeypatch.setattr(local_model, "load_chat", None)
        for model in (str(folder), label_of(folder)):
            out = tmp_path / f"replayed{len(model)}"
            vlm = {"cache": tmp_path / "out.vlm-cache.sqlite"}
            again = self.wanted(arm_logs, out, model, **vlm)
            relabel(replace(again, captioner="replay"))
            assert digest(out) == digest(tmp_path / "out")
        provenance = (tmp_path / "out/labels/provenance.jsonl").read_text()
        assert label_of(folder) in provenance
        assert str(folder) not in provenance

    def test_garbage_is_quarantined(self, arm_logs, folder, tmp_path):
        wanted = self.wanted(arm_logs, tmp_path / "out", folder)
        done = relabel(replace(wanted, limit=2, vlm=replace(wanted.vlm, max_new_tokens=4)))
        assert (done.exit_code, done.quarantined_episodes, done.labels) == (3, 2, 0)
        rows = (tmp_path / "out/labels/quarantine.jsonl").read_text().splitlines()
        assert all("no usable answer even after a repair round" in row for row in rows)
