"""`python -m mrcnn.compat.imgaug_hook` lets programs import imgaug before `mrcnn`.

A `.pth` file, which Python reads when it starts, imports `mrcnn.compat.imgaug` just before imgaug;
it costs nothing until a program does.
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
    """Write the hook into `folder`, whose `.pth` files Python reads; None: site-packages."""
    path = Path(folder or sysconfig.get_path("purelib")) / "mrcnn_imgaug.pth"
    replace_text(path, _HOOK)
    return path


if __name__ == "__main__":
    install()
