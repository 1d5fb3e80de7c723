"""The environments by id: `EmbodiedCF/Rooms-v0` and so on; see `navigation`."""

WORLDS = ("Rooms", "Corridors", "Courtyard")
SOCIAL = (3, 6)
"""People in the social variants."""


def register_environments() -> None:
    """Register every id with gymnasium, once. It is also the entry point `gymnasium.envs`."""
    from gymnasium.envs.registration import register, registry  # importing it calls this function, too

    for world in WORLDS:
        for suffix, people in (("", (0, 2)), ("-Social", SOCIAL)):
            name = f"EmbodiedCF/{world}{suffix}-v0"
            if name not in registry:
                register(
                    name,
                    entry_point="embodied_cf.envs.navigation:NavigationEnv",
                    vector_entry_point="embodied_cf.envs.navigation:NavigationVectorEnv",
                    kwargs={"world": world.lower(), "people": people},
                )
