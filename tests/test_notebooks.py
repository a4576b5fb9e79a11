"""The notebooks run from top to bottom, and are committed with their pictures and little else."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

import tf_lungreg

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 1_000_000  # bytes
# Where the files of one machine lie; times and colours of a terminal.
MACHINE = re.compile(r"(?<![\w.])/(?:tmp|home|root|work|Users|var|opt|usr|mnt)/|\x1b\[|Traceback")

notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def runner():
    """notebooks/run.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("run_notebooks", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_notebook_is_found_by_its_name_or_its_path(runner):
    path = NOTEBOOKS[0]
    assert runner.find(path.name) == runner.find(str(path)) == path
    with pytest.raises(SystemExit, match=r"none\.ipynb: no such notebook; .*01_quickstart"):
        runner.find("none.ipynb")


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def check_outputs(notebook):
    """Something to see, no error, nothing from standard error, no folder of a machine."""
    found = outputs(notebook)
    assert any("image/png" in output.get("data", {}) for output in found)
    for output in found:
        assert output.output_type != "error" and output.get("name") != "stderr", output
        texts = [output.get("text", "")]
        texts += [v for k, v in output.get("data", {}).items() if k.startswith("text/")]
        for text in texts:
            assert not MACHINE.search(text), text


def test_all_seven_are_there():
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{n:02d}" for n in range(1, 8)]
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"]({path.name})" in text for path in NOTEBOOKS)


@notebooks
def test_committed_notebooks_are_executed_and_light(path):
    assert path.stat().st_size < LARGEST
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    check_outputs(notebook)


# A submodule that a notebook imports, or reaches through the package: lr.images.image.
SUBMODULE = re.compile(r"(?:from|import) +tf_lungreg\.|from +tf_lungreg +import|\blr\.(\w+)")


@notebooks
def test_notebooks_use_public_names_only(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for use in SUBMODULE.finditer(cell.source):
                assert use[1] in {*tf_lungreg.__all__, "__file__"}, use[0]


@pytest.mark.parametrize(
    "line",
    ["from tf_lungreg.images.image import Image", "import tf_lungreg.ops", "lr.images.image"],
)
def test_a_submodule_in_a_notebook_is_found(line):
    use = SUBMODULE.search(line)
    assert use and use[1] not in tf_lungreg.__all__


@notebooks
def test_a_notebooks_links_lead_somewhere(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#]+)", cell.source):
                assert target.startswith("http") or (FOLDER / target).exists(), target


@pytest.mark.long
@notebooks
def test_a_notebook_runs(path, runner):
    committed = nbformat.read(path, as_version=4)
    executed = runner.execute(path)
    check_outputs(executed)
    # The committed pictures are of this notebook: every cell shows as many as it does now.
    for was, now in zip(committed.cells, executed.cells):
        assert was.source == now.source
        if was.cell_type == "code":
            pictures = [
                sum("image/png" in output.get("data", {}) for output in cell.outputs)
                for cell in (was, now)
            ]
            assert pictures[0] == pictures[1], was.source
