"""From options to stages."""

from dataclasses import dataclass

from embodied_cf.datasets.embodiment import Embodiment
from embodied_cf.datasets.episodes import EpisodeReader
from embodied_cf.datasets.rlds import RldsDataset, Shard
from embodied_cf.datasets.shards import read_at
from embodied_cf.datasets.spec import CameraModel, DatasetSpec
from embodied_cf.errors import RecordError
from embodied_cf.language.instruction import Family
from embodied_cf.language.meaning import Meaning
from embodied_cf.language.vocabulary import Vocabulary
from embodied_cf.relabel.asking import Asking
from embodied_cf.relabel.goal import GoalSynthesizer, metric_camera
from embodied_cf.relabel.options import RelabelOptions
from embodied_cf.relabel.pipeline import Pipeline
from embodied_cf.relabel.profile import Profile, measure
from embodied_cf.relabel.propose import GrammarProposer
from embodied_cf.relabel.propose_vlm import ModelProposer
from embodied_cf.relabel.provenance import Provenance
from embodied_cf.relabel.segment import SEGMENTERS
from embodied_cf.relabel.stages import Proposer, Synthesizer
from embodied_cf.relabel.synthesize import PrimitiveSynthesizer, RetrievalSynthesizer
from embodied_cf.relabel.verify import ProgramVerifier
from embodied_cf.vlm.captions import Captioner
from embodied_cf.vlm.motion import MotionCaptioner
from embodied_cf.vlm.openai_captioner import CaptionOptions, OpenAICaptioner
from embodied_cf.vlm.propose import VlmProposer

POOL_SIZE = 256
"""Real segments kept for each command, to retrieve from."""
PROFILED_EPISODES = 500
"""The first pass reads so many episodes, evenly spread over the shards."""


@dataclass(frozen=True)
class Setting:
    """What stays fixed through a run: the dataset, how to read it, and what its numbers measure."""

    dataset: RldsDataset
    spec: DatasetSpec
    body: Embodiment
    profile: Profile

    @property
    def reader(self) -> EpisodeReader:
        """Return the reader of its records."""
        return EpisodeReader(self.dataset.features, self.spec)


def survey(dataset: RldsDataset, spec: DatasetSpec, shards: tuple[Shard, ...], options: RelabelOptions) -> Setting:
    """Take the first pass over the numbers. Raises SpecError if the spec does not fit the dataset."""
    body = spec.body()
    reader = EpisodeReader(dataset.features, spec)
    tracks = []
    for shard, wanted in _spread(shards, options.limit):
        for record in read_at(shard.path, dataset.file_format, wanted):
            name = dataset.episode_id(shard, record.index)
            try:
                tracks.append((name, reader.read_track(record.data, name, body)))
            except RecordError:
                continue  # the run itself meets it again, and quarantines it with its reason
    pool_size = POOL_SIZE if options.synthesizer == "retrieval" else 0
    profile = measure(tracks, body, SEGMENTERS[options.segmenter](), options.seed, pool_size)
    return Setting(dataset, spec, body, profile)


def _spread(shards: tuple[Shard, ...], limit: int | None) -> list[tuple[Shard, range]]:
    counts = [min(shard.records, limit or shard.records) for shard in shards]
    every = max(1, -(-sum(counts) // PROFILED_EPISODES))
    return [(shard, range(0, count, every)) for shard, count in zip(shards, counts, strict=True)]


def build_pipeline(setting: Setting, options: RelabelOptions, model: Asking | None = None) -> Pipeline:
    """Return the pipeline that the options name; `model` is whom its captioner asks, if it asks anyone."""
    meaning = setting.profile.meaning(setting.body)
    captioner, proposer = _words(setting, options, meaning, model)
    synthesizer = _synthesizer(setting, options)
    verifier = ProgramVerifier()
    stages = {
        "captioner": captioner.identity,
        "proposer": proposer.identity,
        "synthesizer": synthesizer.identity,
        "verifier": verifier.identity,
        "segmenter": options.segmenter,
        "label_set": options.label_set,
        "seed": options.seed,
    }
    return Pipeline(
        setting.body,
        meaning,
        SEGMENTERS[options.segmenter](),
        captioner,
        proposer,
        synthesizer,
        verifier,
        Provenance(stages),
        options.seed,
        options.per_observation,
        _camera(setting),
        _families(options),
    )


def _families(options: RelabelOptions) -> tuple[Family, ...]:
    return options.families if options.synthesizer == "goal" else ()


def _words(
    setting: Setting, options: RelabelOptions, meaning: Meaning, model: Asking | None
) -> tuple[Captioner, Proposer]:
    most = max(2, options.per_observation)
    grammar = GrammarProposer(options.stride, _families(options), most, options.command_share, options.look_round)
    if model is None:
        return _embedded_captioner(options, meaning.vocabulary), grammar
    kind, vlm = setting.body.kind, options.vlm
    looks = CaptionOptions(vlm.every, vlm.window, max(1, vlm.window // 2))
    captioner = OpenAICaptioner(model.asker, kind, looks, model.prompts)
    return captioner, ModelProposer(VlmProposer(model.asker, kind, model.prompts), grammar, vlm.every)


def _embedded_captioner(options: RelabelOptions, vocabulary: Vocabulary) -> Captioner:
    seed, share = options.seed, options.command_share
    match options.captioner:
        case "scene":
            from embodied_cf.vlm.scene import SceneCaptioner

            return SceneCaptioner(vocabulary, seed, options.scene, floor=options.floor, motion_share=share)
        case "learned":
            from embodied_cf.vlm.learned import LearnedCaptioner

            return LearnedCaptioner(vocabulary, seed, options.detector, floor=options.floor, motion_share=share)
        case _:
            return MotionCaptioner(vocabulary, seed)


def _synthesizer(setting: Setting, options: RelabelOptions) -> Synthesizer:
    if options.synthesizer == "goal":
        return GoalSynthesizer.of(setting.spec, setting.body, setting.profile)
    if options.policy is not None:
        from embodied_cf.relabel.atomic import AtomicSynthesizer  # loads torch

        return AtomicSynthesizer.of(options.policy, setting.profile, setting.body, options.seed)
    kind = PrimitiveSynthesizer if options.synthesizer == "primitive" else RetrievalSynthesizer
    return kind(setting.profile, setting.body, "gripper_command" in setting.spec.columns)


def _camera(setting: Setting) -> CameraModel | None:
    """Return the camera model, if it can place things on the ground in metres."""
    fits = setting.body.kind == "nav" and setting.spec.position_unit == "m" and setting.spec.camera_model is not None
    return metric_camera(setting.spec, setting.body) if fits else None
