"""Plane geometry of points, segments and polygons, in metres and radians."""

import numpy as np
from jaxtyping import Bool, Float


def segment_distance(point: Float[np.ndarray, "n 2"], segment: Float[np.ndarray, "w 4"]) -> Float[np.ndarray, "n w"]:
    """Return the distance of each point to each segment x0, y0, x1, y1."""
    return np.linalg.norm(point[:, None] - nearest_on_segment(point, segment), axis=2)


def nearest_on_segment(
    point: Float[np.ndarray, "n 2"], segment: Float[np.ndarray, "w 4"]
) -> Float[np.ndarray, "n w 2"]:
    """Return the point of each segment that is nearest to each point."""
    begin, along = segment[:, :2], segment[:, 2:] - segment[:, :2]
    length2 = np.maximum((along**2).sum(axis=1), 1e-12)
    part = ((point[:, None] - begin) * along).sum(axis=2) / length2
    return begin + np.clip(part, 0.0, 1.0)[..., None] * along


def inside(point: Float[np.ndarray, "n 2"], polygon: Float[np.ndarray, "k 2"]) -> Bool[np.ndarray, " n"]:
    """Return which points lie in a simple polygon, by the parity of edges to their right."""
    begin, end = polygon, np.roll(polygon, -1, axis=0)
    x, y = point[:, :1], point[:, 1:]
    spans = (begin[:, 1] > y) != (end[:, 1] > y)
    rise = np.where(begin[:, 1] == end[:, 1], 1.0, end[:, 1] - begin[:, 1])
    crossing = begin[:, 0] + (y - begin[:, 1]) / rise * (end[:, 0] - begin[:, 0])
    return (spans & (x < crossing)).sum(axis=1) % 2 == 1


def area(polygon: Float[np.ndarray, "k 2"]) -> float:
    """Return the area of a simple polygon, m^2; positive if its corners run counterclockwise."""
    following = np.roll(polygon, -1, axis=0)
    return float((polygon[:, 0] * following[:, 1] - following[:, 0] * polygon[:, 1]).sum() / 2)


def sides(polygon: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "k 4"]:
    """Return the edges of a polygon as segments."""
    return np.concatenate([polygon, np.roll(polygon, -1, axis=0)], axis=1)


def rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    """Return the matrix M for which `points @ M.T` turns points counterclockwise by `angle`."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def rectangle(centre: Float[np.ndarray, " 2"], size: tuple[float, float], angle: float) -> Float[np.ndarray, "4 2"]:
    """Return the corners, counterclockwise, of a rectangle of (length, width) turned by `angle`."""
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * np.array(size) / 2
    return centre + corners @ rotation(angle).T
