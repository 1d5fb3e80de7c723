"""The environments by id: `EmbodiedCF/Rooms-v0` and so on; see `navigation`.

gymnasium 1.0 gave up entry points: who makes an environment imports `embodied_cf.envs` before, or has gymnasium do
it by the id `embodied_cf.envs:EmbodiedCF/Rooms-v0`.
"""

from gymnasium.envs.registration import register

WORLDS = ("Rooms", "Corridors", "Courtyard")
FEW, SOCIAL = (0, 2), (3, 6)
"""Least and most number of people, as a rule and in the social variants."""


def register_environments() -> None:
    """Register every id with gymnasium; the environments themselves are imported when one is made."""
    for world in WORLDS:
        for suffix, people in (("", FEW), ("-Social", SOCIAL)):
            register(
                f"EmbodiedCF/{world}{suffix}-v0",
                entry_point="embodied_cf.envs.navigation:NavigationEnv",
                vector_entry_point="embodied_cf.envs.navigation:NavigationVectorEnv",
                kwargs={"world": world.lower(), "people": people},
            )
