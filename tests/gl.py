"""Pictures by MuJoCo in tests: where the machine has no OpenGL, the test asserts the named error instead."""

import os
import sys
from contextlib import contextmanager
from functools import lru_cache

import pytest

from embodied_cf.errors import MissingLibraryError


@lru_cache(maxsize=1)
def has_gl():
    """Whether MuJoCo's own context can be made, asked without our code."""
    try:
        if os.environ.get("MUJOCO_GL", "egl") == "egl" and sys.platform == "linux":
            from mujoco.egl import GLContext
        else:
            from mujoco import GLContext
        GLContext(8, 8).free()
    except Exception:
        return False
    # Mesa's LLVM is loaded now: a TensorFlow that binds to it instead of to its own would crash the test run
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_DEEPBIND)
    return True


@contextmanager
def drawing():
    """A block that draws."""
    if has_gl():
        yield
        return
    with pytest.raises(MissingLibraryError, match=r"libegl1 .* libosmesa6"):
        yield
