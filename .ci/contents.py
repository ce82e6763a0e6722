"""Checks what a wheel and an sdist hold: the whole package, and nothing else.

python .ci/contents.py dist
"""

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def expected():
    """Paths in a wheel, beside its metadata."""
    package = {*(ROOT / "rocket_tf").rglob("*.py"), ROOT / "rocket_tf" / "py.typed"}
    configs = {f"rocket_tf/configs/{path.name}" for path in (ROOT / "configs").glob("*.py")}
    return {str(path.relative_to(ROOT)) for path in package} | configs


def main(folder):
    """Prints what is wrong; returns the exit code."""
    (wheel,), (sdist,) = Path(folder).glob("*.whl"), Path(folder).glob("*.tar.gz")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    with tarfile.open(sdist) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"LICENSE", "README.md", "pyproject.toml", "requirements.txt", "setup.py"}
    wrong = [f"{wheel.name} lacks {name}" for name in sorted(expected() - held)]
    wrong += [f"{wheel.name} should not have {name}" for name in sorted(held - expected())]
    wrong += [f"{sdist.name} lacks {name}" for name in sorted(needed - source)]
    print("\n".join([*wrong, f"{wheel.name}: {len(held)} files, {len(wrong)} mistakes"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
