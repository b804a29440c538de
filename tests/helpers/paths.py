"""Where things lie in the repository, and how long a test waits for a process."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HELPERS = ROOT / "tests" / "helpers"
DATA = ROOT / "tests" / "data"
INTEGRATION = ROOT / "tests" / "integration"
PROGRAMS = INTEGRATION / "programs"

# A process that takes longer hangs. Nothing is said of speed: a busy machine takes minutes.
STUCK_SECONDS = 1800
