"""`python -m mrcnn.compat.imgaug_hook` lets programs import imgaug before `mrcnn`.

imgaug 0.4.0 fails to import on NumPy 2 unless `mrcnn.compat.imgaug` was imported first. A
`.pth` file in site-packages, which Python reads when it starts, sees to that: it costs
nothing until a program imports imgaug.
"""

import sysconfig
from pathlib import Path

from mrcnn.io.files import replace_text

_HOOK = (
    "import sys; sys.meta_path.insert(0, type('ImgaugOnNumPy2', (), {'find_spec': staticmethod("
    "lambda name, path=None, target=None: "
    "__import__('mrcnn.compat.imgaug') and None if name == 'imgaug' else None)})())\n"
)


def install(folder: str | Path | None = None) -> Path:
    """Write the hook.

    Args:
        folder: a folder whose `.pth` files Python reads; None: site-packages.

    Returns:
        The file.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(folder or sysconfig.get_path("purelib")) / "mrcnn_imgaug.pth"
    replace_text(path, _HOOK)
    return path


if __name__ == "__main__":
    install()
