"""Records as tests need them."""

from embodied_cf.evaluate.record import Record


def record(seed=0, success=True, control="none", family="object", **more):
    facts = {
        "world": "rooms", "family": family, "split": "dev", "seed": seed, "control": control,
        "instruction": "go to the red chair", "told": "go to the red chair", "sight": "nearest",
        "ending": "success" if success else "time", "success": success, "progress": 1.0 if success else 0.25,
        "steps": 40, "collisions": 0, "wall_contacts": 0, "travelled": 5.0, "shortest": 4.0,
    }  # fmt: skip
    return Record(**(facts | more))


def several(outcomes, control="none", **more):
    """One record per character: 1 a success, 0 a failure, - none; seeds count from 0."""
    return [record(seed, mark == "1", control, **more) for seed, mark in enumerate(outcomes) if mark != "-"]
