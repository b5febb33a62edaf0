"""How MuJoCo draws on a machine without a display."""

import logging
import os
import sys
from ctypes.util import find_library

BACKENDS = {"egl": "EGL", "osmesa": "OSMesa"}
"""What MUJOCO_GL may be there, the best first, and the library that it needs."""
CHOSEN = ("MUJOCO_GL", "PYOPENGL_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY")
"""Where one of these is set, nothing is to be chosen."""


def draw_without_display() -> None:
    """Set MUJOCO_GL on Linux where there is no display; MuJoCo reads it as it is imported.

    Without it MuJoCo looks for a display, and with a name whose library is missing it cannot even be imported.
    """
    if sys.platform == "linux" and not any(map(os.environ.get, CHOSEN)):
        found = [backend for backend, library in BACKENDS.items() if find_library(library)]
        if found:
            os.environ["MUJOCO_GL"] = found[0]
            logging.getLogger("OpenGL").setLevel(logging.WARNING)  # it says which of its parts are not installed
