"""Ids of the environments that need an extra: `mujoco` or `babyai`. Each loads its library when one is made."""

_PHYSICS = "embodied_cf.envs.physics.environment"


def register_extras() -> None:
    """Register them with gymnasium, once."""
    from gymnasium.envs.registration import register, registry

    rooms = {"world": "rooms", "people": (0, 2)}
    ids = {
        "EmbodiedCF/Rooms-MuJoCo-v0": (f"{_PHYSICS}:PhysicalEnv", f"{_PHYSICS}:PhysicalVectorEnv", rooms),
        "EmbodiedCF/Tabletop-v0": ("embodied_cf.envs.tabletop.environment:TabletopEnv", None, {}),
        "EmbodiedCF/BabyAI-v0": ("embodied_cf.envs.babyai:make_babyai", None, {}),
    }
    for name, (one, many, options) in ids.items():
        if name not in registry:
            register(name, entry_point=one, vector_entry_point=many, kwargs=options)
