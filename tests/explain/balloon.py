"""A balloon in gusts that no seed fixes, and the truth about it."""

import gymnasium
import numpy as np

MOVE = np.array([-0.3, 0.0, 0.3])
GUST, TOP, GROUND, LONGEST = 0.2, 2.0, -1.0, 30
_WEATHER = np.random.default_rng()


def new_weather(seed):
    """Begin other weather, which runs through all episodes from here on."""
    global _WEATHER
    _WEATHER = np.random.default_rng(seed)


class Balloon(gymnasium.Env):
    """Height in [-1, 2]: at 2 it is through the clouds, at -1 on the ground. Actions: sink, hold, rise."""

    action_space = gymnasium.spaces.Discrete(3)
    observation_space = gymnasium.spaces.Box(-9, 9, (1,), np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.height, self.gusts = 0.5 + 0.1 * _WEATHER.normal(), []
        return np.array([self.height]), {}

    def step(self, action):
        self.gusts.append(_WEATHER.normal())
        self.height = risen(self.height, action, self.gusts[-1])
        over = not GROUND < self.height < TOP
        late = len(self.gusts) == LONGEST
        return np.array([self.height]), float(self.height >= TOP), over, late, {}


class Still(Balloon):
    """No gusts but those of the seed: it repeats itself."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.height, self.calm = 0.5, np.random.default_rng(seed)
        return np.array([self.height]), {}

    def step(self, action):
        self.gusts.append(self.calm.normal())
        self.height = risen(self.height, action, self.gusts[-1])
        late = len(self.gusts) == LONGEST
        over = not GROUND < self.height < TOP
        return np.array([self.height]), float(self.height >= TOP), over, late, {}


def risen(height, action, gust):
    return height + MOVE[action] + GUST * gust


def timid(env, rng):
    """Rises, but sinks where the clouds begin and where it is low: often onto the ground."""
    return act


def act(observation):
    return 0 if 0.9 < float(observation[0]) < 1.4 else 2 if float(observation[0]) > 0.2 else 0


def truth(heights, actions, gusts, step, action, rng, draws):
    """Return the share of draws, of what comes after the episode, in which it gets through after all."""
    won = 0
    for _ in range(draws):
        height, gust = heights[step], iter(gusts[step:])
        for at in range(step, LONGEST):
            wanted = action if at == step else act([height])
            height = risen(height, wanted, next(gust, None) or rng.normal())
            if not GROUND < height < TOP:
                break
        won += height >= TOP
    return won / draws
