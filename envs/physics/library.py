"""The one door to MuJoCo: its import, and pictures without a screen.

The OpenGL backend is MUJOCO_GL (egl, osmesa, glfw, cgl); without it egl on Linux and MuJoCo's own choice elsewhere.
Simulating needs no OpenGL at all. Mesa's software drivers and TensorFlow each bring an LLVM and crash in one process:
draw in another process than the one that reads through tf.data.
"""

import os
import sys
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from embodied_cf.errors import MissingLibraryError

_PACKAGES = "Install libegl1 and libgl1-mesa-dri and set MUJOCO_GL=egl, or libosmesa6 and MUJOCO_GL=osmesa."


def load_mujoco() -> Any:
    """Return the package. Raises MissingLibraryError where it, or the OpenGL that MUJOCO_GL asks for, is absent."""
    try:
        import mujoco
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            "the package mujoco is not installed", remedy="Install embodied-cf[mujoco]."
        ) from error
    except (ImportError, AttributeError, OSError, RuntimeError) as error:  # PyOpenGL's ways to say "no library"
        raise _no_gl(error) from error
    return mujoco


class Camera:
    """Draws pictures of one model at a time into memory; shadows and multisampling are off.

    Raises MissingLibraryError where OpenGL without a screen is not to be had.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._mujoco = load_mujoco()
        self._gl = _context(width, height)
        self._model: Any = None
        self._scene: Any = None
        self._drawer: Any = None

    def rgb(self, model: Any, data: Any, camera: str) -> UInt8[np.ndarray, "h w 3"]:
        """Return what a named camera of the model sees."""
        return self._draw(model, data, camera, ids=False)[0]

    def depth(self, model: Any, data: Any, camera: str) -> Float32[np.ndarray, "h w"]:
        """Return the distance along the optical axis in m, inf where nothing is."""
        reverse_z = self._draw(model, data, camera, ids=True)[1].astype(np.float64)
        near, far = (getattr(model.vis.map, name) * model.stat.extent for name in ("znear", "zfar"))
        # depth buffer value d of a reversed, zero-far projection: z = near far / (near + d (far - near))
        metres = near * far / (near + reverse_z * (far - near))
        return np.where(reverse_z > 0, metres, np.inf).astype(np.float32)

    def geoms(self, model: Any, data: Any, camera: str) -> Int32[np.ndarray, "h w"]:
        """Return the number of the geom that each pixel shows, -1 for none."""
        colour = self._draw(model, data, camera, ids=True)[0].astype(np.int32)
        segment = (colour[..., 0] + (colour[..., 1] << 8) + (colour[..., 2] << 16)) - 1
        table = np.full(self._scene.ngeom + 1, -1, np.int32)
        for item in self._scene.geoms[: self._scene.ngeom]:
            if item.objtype == self._mujoco.mjtObj.mjOBJ_GEOM:
                table[item.segid] = item.objid
        return table[segment]

    def close(self) -> None:
        """Free the buffers."""
        if self._drawer is not None:
            self._gl.make_current()
            self._drawer.free()
        self._model = self._scene = self._drawer = None
        self._gl.free()

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _draw(self, model: Any, data: Any, camera: str, ids: bool) -> tuple[np.ndarray, np.ndarray]:
        library = self._mujoco
        self._gl.make_current()
        self._adopt(model)
        self._scene.flags[library.mjtRndFlag.mjRND_SEGMENT] = ids
        self._scene.flags[library.mjtRndFlag.mjRND_IDCOLOR] = ids
        view = library.MjvCamera()
        view.type = library.mjtCamera.mjCAMERA_FIXED
        view.fixedcamid = model.camera(camera).id
        everything = library.mjtCatBit.mjCAT_ALL
        library.mjv_updateScene(model, data, library.MjvOption(), None, view, everything, self._scene)
        frame = library.MjrRect(0, 0, self.width, self.height)
        library.mjr_render(frame, self._scene, self._drawer)
        rgb = np.empty((self.height, self.width, 3), np.uint8)
        depth = np.empty((self.height, self.width), np.float32)
        library.mjr_readPixels(rgb, depth, frame, self._drawer)
        return rgb[::-1], depth[::-1]

    def _adopt(self, model: Any) -> None:
        if model is self._model:
            return
        library = self._mujoco
        if self._drawer is not None:
            self._drawer.free()
        model.vis.global_.offwidth, model.vis.global_.offheight = self.width, self.height
        model.vis.quality.shadowsize = model.vis.quality.offsamples = 0
        self._scene = library.MjvScene(model, maxgeom=2000)
        self._scene.flags[library.mjtRndFlag.mjRND_SHADOW] = False
        self._scene.flags[library.mjtRndFlag.mjRND_REFLECTION] = False
        self._drawer = library.MjrContext(model, library.mjtFontScale.mjFONTSCALE_100.value)
        library.mjr_setBuffer(library.mjtFramebuffer.mjFB_OFFSCREEN.value, self._drawer)
        self._drawer.readDepthMap = library.mjtDepthMap.mjDEPTH_ZEROFAR
        self._model = model


def _context(width: int, height: int) -> Any:
    backend = os.environ.get("MUJOCO_GL", "").lower().strip() or ("egl" if sys.platform == "linux" else "")
    try:
        if backend == "egl":
            from mujoco.egl import GLContext
        elif backend == "osmesa":
            from mujoco.osmesa import GLContext
        else:
            from mujoco import GLContext
        context = GLContext(width, height)
        context.make_current()
    except Exception as error:  # each backend fails in its own way: ImportError, AttributeError, GLFWError, EGLError
        raise _no_gl(error) from error
    return context


def _no_gl(error: Exception) -> MissingLibraryError:
    wanted = os.environ.get("MUJOCO_GL") or "the default"
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return MissingLibraryError(f"no OpenGL to draw without a screen (MUJOCO_GL: {wanted}; {reason})", remedy=_PACKAGES)
