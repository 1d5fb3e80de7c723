"""The environments by id, `EmbodiedCF/Rooms-v0` and so on; each is imported, with what it needs, when it is made.

gymnasium 1.0 gave up entry points: who makes an environment imports `embodied_cf.envs` before, or has gymnasium do
it by the id `embodied_cf.envs:EmbodiedCF/Rooms-v0`.
"""

from typing import Any

from gymnasium.envs.registration import register

WORLDS = ("Rooms", "Corridors", "Courtyard")
FEW, SOCIAL = (0, 2), (3, 6)
"""Least and most number of people, as a rule and in the social variants."""
TABLETOP = "EmbodiedCF/Tabletop-v0"
_HOME = "embodied_cf.envs"
_NAVIGATION = (f"{_HOME}.navigation:NavigationEnv", f"{_HOME}.navigation:NavigationVectorEnv")
_PHYSICS = (f"{_HOME}.physics.environment:PhysicalEnv", f"{_HOME}.physics.environment:PhysicalVectorEnv")


def register_environments() -> None:
    """Register every id with gymnasium. Tabletop and Rooms-MuJoCo need the extra `mujoco`, BabyAI `babyai`."""
    for world in WORLDS:
        for suffix, people in (("", FEW), ("-Social", SOCIAL)):
            _register(f"EmbodiedCF/{world}{suffix}-v0", *_NAVIGATION, world=world.lower(), people=people)
    _register("EmbodiedCF/Rooms-MuJoCo-v0", *_PHYSICS, world="rooms", people=FEW)
    _register(TABLETOP, f"{_HOME}.tabletop.environment:TabletopEnv", None)
    _register("EmbodiedCF/BabyAI-v0", f"{_HOME}.babyai:make_babyai", None)


def _register(name: str, one: str, many: str | None, **options: Any) -> None:
    register(name, entry_point=one, vector_entry_point=many, kwargs=options)
