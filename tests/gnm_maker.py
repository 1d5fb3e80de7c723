"""Small folders of GNM trajectories."""

import pickle
from pathlib import Path

import cv2
import numpy as np

LENGTHS = {"sacson/walk_1": 20, "sacson/walk_2": 14, "recon/drive_1": 17}


def arrays(name: str) -> dict[str, np.ndarray]:
    """Poses with more digits than 32 bits hold, far from the origin; yaw as a column in one of the sets."""
    rng = np.random.default_rng(len(name))
    yaw = np.cumsum(rng.choice([-0.1, 0.0, 0.1], LENGTHS[name]))
    heading = np.stack([np.cos(yaw), np.sin(yaw)], axis=1)
    position = 551_234.123456789 + np.cumsum(0.25 * heading, axis=0)
    if name.startswith("recon"):
        return {"position": position, "yaw": yaw[:, None], "speeds": np.arange(5, dtype=np.int16)}
    return {"position": position, "yaw": yaw.astype(np.float32)}


def write_gnm(root: Path) -> Path:
    for name, length in LENGTHS.items():
        folder = root / name
        folder.mkdir(parents=True)
        for at in range(length):
            image = np.kron(np.full((4, 5, 3), 8 * at, np.uint8), np.ones((8, 8, 1), np.uint8))
            (folder / f"{at}.jpg").write_bytes(bytes(cv2.imencode(".jpg", image)[1]))
        (folder / "traj_data.pkl").write_bytes(pickle.dumps(arrays(name)))
    return root
