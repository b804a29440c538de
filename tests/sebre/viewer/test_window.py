"""The plugin in a window of napari, on a screen that nobody sees."""

import os
import subprocess
import sys
from pathlib import Path

from paths import HELPERS, ROOT, STUCK_SECONDS
from virtual_screen import virtual_screen

SESSION = Path(__file__).with_name("window_session.py")
# Of what napari and npe2 ask pydantic for, while they are imported: by the text, as Python cannot
# know the category before it has a path, and in tests by the category.
IMPORTING = "ignore:`json_encoders` is deprecated"
TESTING = "ignore::pydantic.warnings.PydanticDeprecatedSince20"


def test_a_session_in_a_window(tmp_path):
    """Load, predict, correct, save, train two steps, predict: see `window_session.py`."""
    command = [sys.executable, "-W", "error", "-W", IMPORTING, "-m", "pytest", "-W", TESTING]
    command += ["-p", "pytestqt.plugin", "-p", "napari.utils._testsupport", "--noconftest"]
    command += ["-q", "-x", "-p", "no:cacheprovider", "--basetemp", tmp_path / "t"]
    with virtual_screen() as screen:
        # Nothing of the user's napari is read or written.
        own = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "NAPARI_CONFIG": ""}
        paths = [str(ROOT), str(HELPERS), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, **screen, **own, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run(
            [*map(str, command), str(SESSION)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=STUCK_SECONDS,
        )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "3 passed" in done.stdout
