"""AWS's runtime client in a folder of its own, as /var/runtime has it on Lambda."""

from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

# awslambdaric and what it requires; a worker sees nothing else of the twin's own virtual environment.
RUNTIME_CLIENT: Final = ("awslambdaric", "simplejson", "snapshot-restore-py")


def link_distributions(folder: Path, names: Iterable[str]) -> None:
    """Link the packages and modules of installed distributions, and nothing beside them, into a folder."""
    for name in names:
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files or () if file.suffix in {".py", ".so"}} - {".."}:
            (folder / top).symlink_to(Path(str(installed.locate_file(top))))
