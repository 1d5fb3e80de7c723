"""The compiled loops behind the planner: clearances, Dijkstra's algorithm, and pulling paths straight."""

import math

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from embodied_cf.envs.compiled import compiled, kept

MOVES = np.array(
    [(1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (-1, -1), (1, -1),
     (2, 1), (1, 2), (-1, 2), (-2, 1), (-2, -1), (-1, -2), (1, -2), (2, -1)], np.int64
)  # fmt: skip
"""Columns and rows of a move; the last eight lower the largest detour of a path from 8 % to 3 %."""


@kept
def clearance_of(
    shape: tuple[int, int],
    origin: Float64[np.ndarray, " 2"],
    cell: float,
    walls: Float64[np.ndarray, "w 4"],
    position: Float64[np.ndarray, "o 2"],
    radius: Float64[np.ndarray, " o"],
    far: float,
) -> Float32[np.ndarray, "h w"]:
    """Return the distance of every cell's centre to the nearest wall segment or disc, at most `far`, m."""
    clearance = np.full(shape, far, np.float32)
    for x0, y0, x1, y1 in walls:
        _lower(clearance, origin, cell, x0, y0, x1, y1, 0.0, far)
    for index in range(len(position)):
        x, y = position[index]
        _lower(clearance, origin, cell, x, y, x, y, radius[index], far)
    return clearance


@compiled
def _lower(clearance, origin, cell, x0, y0, x1, y1, radius, far):
    height, width = clearance.shape
    reach = far + radius
    first_row = max(0, int((min(y0, y1) - reach - origin[1]) / cell))
    last_row = min(height - 1, int((max(y0, y1) + reach - origin[1]) / cell) + 1)
    first_column = max(0, int((min(x0, x1) - reach - origin[0]) / cell))
    last_column = min(width - 1, int((max(x0, x1) + reach - origin[0]) / cell) + 1)
    for row in range(first_row, last_row + 1):
        for column in range(first_column, last_column + 1):
            gap = segment_distance(origin[0] + cell * column, origin[1] + cell * row, x0, y0, x1, y1) - radius
            if gap < clearance[row, column]:
                clearance[row, column] = gap


@compiled
def segment_distance(x: float, y: float, x0: float, y0: float, x1: float, y1: float) -> float:
    """Return the distance of a point to a segment, m."""
    dx, dy = x1 - x0, y1 - y0
    square = dx * dx + dy * dy
    share = 0.0 if square == 0.0 else min(1.0, max(0.0, ((x - x0) * dx + (y - y0) * dy) / square))
    return math.hypot(x - x0 - share * dx, y - y0 - share * dy)


@compiled
def _price(clearance: float, comfort: float, caution: float) -> float:
    """Cost of a metre."""
    lack = max(0.0, 1.0 - clearance / comfort)
    return 1.0 + caution * lack * lack


@kept
def dijkstra(
    clearance: Float32[np.ndarray, "h w"],
    free: Bool[np.ndarray, "h w"],
    starts: Int64[np.ndarray, " n"],
    cell: float,
    comfort: float,
    caution: float,
) -> tuple[Float64[np.ndarray, "h w"], Int32[np.ndarray, "h w"]]:
    """Return the cost of the cheapest way from the nearest start to every free cell, and the cell before it."""
    height, width = free.shape
    cost = np.full(height * width, np.inf)
    parent = np.full(height * width, -1, np.int32)
    price = np.empty(height * width)
    for index in range(height * width):
        price[index] = _price(clearance[index // width, index % width], comfort, caution)
    heap = [(0.0, np.int64(0)) for _ in range(0)]
    for start in starts:
        cost[start] = 0.0
        heap.append((0.0, start))
    while len(heap):
        reached, index = _pop(heap)
        if reached > cost[index]:
            continue
        row, column = index // width, index % width
        for move in range(16):
            c, r = column + MOVES[move, 0], row + MOVES[move, 1]
            if r < 0 or c < 0 or r >= height or c >= width or not free[r, c]:
                continue
            if move >= 4 and not _passable(free, row, column, r, c):
                continue
            other = r * width + c
            length = cell * (1.0 if move < 4 else 1.4142135623730951 if move < 8 else 2.23606797749979)
            total = reached + length * 0.5 * (price[index] + price[other])
            if total < cost[other]:
                cost[other] = total
                parent[other] = index
                _push(heap, (total, other))
    return cost.reshape(height, width), parent.reshape(height, width)


@compiled
def _passable(free, row, column, r, c):
    """Whether the cells that a slanted move grazes are free."""
    if abs(r - row) == 1 and abs(c - column) == 1:
        return free[row, c] and free[r, column]
    if abs(c - column) == 2:
        middle = (column + c) // 2
        return free[row, middle] and free[r, middle]
    middle = (row + r) // 2
    return free[middle, column] and free[middle, c]


@compiled
def _push(heap, item):
    heap.append(item)
    child = len(heap) - 1
    while child > 0:
        above = (child - 1) >> 1
        if heap[above][0] <= heap[child][0]:
            break
        heap[above], heap[child] = heap[child], heap[above]
        child = above


@compiled
def _pop(heap):
    top = heap[0]
    last = heap.pop()
    if len(heap):
        heap[0] = last
        above, size = 0, len(heap)
        while True:
            child = 2 * above + 1
            if child >= size:
                break
            if child + 1 < size and heap[child + 1][0] < heap[child][0]:
                child += 1
            if heap[above][0] <= heap[child][0]:
                break
            heap[above], heap[child] = heap[child], heap[above]
            above = child
    return top


@kept
def pull_straight(
    path: Float64[np.ndarray, "n 2"],
    clearance: Float32[np.ndarray, "h w"],
    origin: Float64[np.ndarray, " 2"],
    cell: float,
    comfort: float,
    caution: float,
    tight: float,
) -> Float64[np.ndarray, "m 2"]:
    """Return the path with corners left out where the straight line is no dearer, and no tighter than it or `tight`."""
    count = len(path)
    total, tightest = np.zeros(count), np.empty(count)
    for index in range(count - 1):
        leg, gap = _line(path[index], path[index + 1], clearance, origin, cell, comfort, caution)
        total[index + 1] = total[index] + leg
        tightest[index] = gap
    kept = [0]
    while kept[-1] < count - 1:
        here, best, narrow = kept[-1], kept[-1] + 1, tightest[kept[-1]]
        for other in range(here + 2, count):
            narrow = min(narrow, tightest[other - 1])
            leg, gap = _line(path[here], path[other], clearance, origin, cell, comfort, caution)
            if gap >= min(narrow - 0.02, tight) and leg <= total[other] - total[here] + 1e-9:
                best = other
        kept.append(best)
    pulled = np.empty((len(kept), 2))
    for row, index in enumerate(kept):
        pulled[row] = path[index]
    return pulled


@compiled
def _line(a, b, clearance, origin, cell, comfort, caution):
    """Cost and smallest clearance of a straight line."""
    length = math.hypot(b[0] - a[0], b[1] - a[1])
    pieces = max(1, math.ceil(length / (cell * 0.5)))
    cost, gap = 0.0, np.inf
    for piece in range(pieces + 1):
        share = piece / pieces
        column = round((a[0] + share * (b[0] - a[0]) - origin[0]) / cell)
        row = round((a[1] + share * (b[1] - a[1]) - origin[1]) / cell)
        gap = min(gap, clearance[row, column])
        weight = 0.5 if piece in (0, pieces) else 1.0
        cost += weight * _price(clearance[row, column], comfort, caution)
    return cost * length / pieces, gap
