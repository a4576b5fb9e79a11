"""Executes the notebooks and keeps their pictures: ``python notebooks/run.py [NAME.ipynb ...]``.

Each is written back in place. Folders of the machine, versions of the kernel and messages on
standard error are taken out; seconds that a page shows stay.
Needs ``pip install --editable ".[notebooks]"``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

_SCRATCH = re.compile(r"/\S*/tmp\w{8}/")  # what tempfile makes
_TIMEOUT = 1800  # seconds, of one cell; on an idle machine none takes a minute


def execute(path: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a new kernel, cleaned; the file stays as it is.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=_TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    return clean(notebook)


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Takes out what depends on the machine."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", {}
        if cell.cell_type == "code":
            cell.outputs = [_clean_output(o) for o in cell.outputs if o.get("name") != "stderr"]
    return nbformat.from_dict(notebook)


def _clean_output(output):
    if "text" in output:
        output.text = _SCRATCH.sub("", output.text)
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/"):
            output.data[kind] = _SCRATCH.sub("", content)
    if "metadata" in output:
        output.metadata = {}
    return output


def find(name: str) -> Path:
    """The notebook of a name: a path, or the name of one of this folder.

    Raises:
        SystemExit: there is none, with one line that says so.
    """
    for path in (Path(name), FOLDER / name):
        if path.is_file():
            return path
    known = ", ".join(path.name for path in NOTEBOOKS)
    raise SystemExit(f"{name}: no such notebook; a path, or one of {known}, is needed.")


def main(names: list[str]) -> None:
    """Executes the named notebooks, or all, in place."""
    for path in [find(name) for name in names] or NOTEBOOKS:
        notebook = execute(path)
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
