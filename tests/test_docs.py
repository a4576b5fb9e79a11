"""The site builds without a warning; what the pages and docstrings say of the code is so."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tf_lungreg

ROOT = Path(__file__).parent.parent
PACKAGE = Path(tf_lungreg.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
PAPER = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")

# Methods that Keras and gRPC call: the frameworks name their arguments.
CALLED_BY_OTHERS = re.compile(
    r"call|build|get_config|compute_output_shape|on_(train|epoch)_\w+|Predict|Get\w+"
)


def name_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# ---- the site


@pytest.mark.long
def test_the_site_builds_without_a_warning(tmp_path):
    for module in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(module, reason="the extra docs is not installed")
    words = ["-W", "--keep-going", "-q", "-b", "html", str(ROOT / "docs"), str(tmp_path / "site")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words], capture_output=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    front = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f"{page.stem}.html" in front, f"{page.name} is in no table of contents"
    operators = (tmp_path / "site" / "api" / "ops.html").read_text(encoding="utf-8")
    assert 'id="tf_lungreg.ops.warp"' in operators


# ---- the table of settings


def test_the_settings_are_those_of_the_records(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    settings_page = importlib.import_module("settings_page")
    page = settings_page.PAGE.read_text(encoding="utf-8")
    assert page == settings_page.make_page(), "run python docs/settings_page.py"


# ---- the paper's table


def resolve(name):
    """The object behind a dotted name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tf_lungreg[\w.]+)`", PAPER))))
def test_what_the_papers_table_names_is_in_the_code(name):
    assert resolve(name) is not None


def test_a_name_that_is_not_in_the_code_is_found():
    with pytest.raises(AttributeError):
        resolve("tf_lungreg.ops.wrap")


@pytest.mark.parametrize("test", sorted(set(re.findall(r"`(tests/[^`]+)`", PAPER))))
def test_what_the_papers_table_names_is_a_test(test):
    file, name = test.split("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_papers_table_is_whole():
    rows = [line for line in PAPER.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith("| in the paper")]
    for number in range(1, 5):
        assert any(row.startswith(f"| Eq. {number},") for row in rows)
    for section in ("2.1", "2.2", "2.3", "2.4", "3.1", "3.2", "3.3"):
        assert any(row.startswith(f"| {section},") for row in rows)
    for number in range(1, 4):
        assert any(row.startswith(f"| Table {number}") for row in rows)
        assert any(row.startswith(f"| Figure {number},") for row in rows)
    for row in rows:
        _, code, test = row.strip("| ").split(" | ")
        assert "`tf_lungreg." in code and "`tests/" in test, row


# ---- docstrings
#
# The rule: everything public has one. Where there are several arguments it names them all, in a
# section Args or Attributes or in the text; names that stand for one thing throughout a module or
# class may be said once, in the docstring of that. A section leaves none out and invents none.


def public(node, around=""):
    """Public functions, classes and methods: name, node, docstrings around it."""
    around = f"{around}\n{ast.get_docstring(node) or ''}"
    for child in node.body:
        if isinstance(child, (ast.FunctionDef, ast.ClassDef)) and not child.name.startswith("_"):
            yield child.name, child, around
            if isinstance(child, ast.ClassDef):
                yield from ((f"{child.name}.{n}", c, a) for n, c, a in public(child, around))


def arguments(node):
    """Names of a function's arguments, or of those of a class's constructor or its fields."""
    if isinstance(node, ast.ClassDef):
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if made:
            return arguments(made[0])
        fields = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign)]
        return [name for name in fields if not name.startswith("_")]
    a = node.args
    names = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg) if x]
    return [n for n in names if n not in ("self", "cls", "kwargs") and not n.startswith("_")]


def listed(text, *sections):
    """The names that the sections describe; None without such a section."""
    found = None
    for body in re.findall(rf"^(?:{'|'.join(sections)}):\n((?: .*\n|\n)*)", text + "\n", re.M):
        heads = [line.split(":")[0] for line in body.splitlines() if re.match(r" {4}\S", line)]
        found = (found or set()) | set(re.findall(r"\w+", " ".join(heads)))
    return found


def fault(node, around):
    """What is wrong with a docstring, if anything."""
    text = ast.get_docstring(node)
    if not text:
        return "has no docstring"
    if isinstance(node, ast.FunctionDef) and CALLED_BY_OTHERS.fullmatch(node.name):
        return None
    names = arguments(node)
    described = listed(text, "Args", "Attributes")
    if described is not None:
        if set(names) - described:
            return f"does not describe {sorted(set(names) - described)}"
        invented = (listed(text, "Args") or set()) - set(names) - {"kwargs"}
        return f"describes {sorted(invented)}, which it does not take" if invented else None
    unnamed = [n for n in names if not re.search(rf"\b{n}\b", f"{text}\n{around}")]
    return f"does not name {unnamed}" if len(names) > 1 and unnamed else None


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_docstrings_name_the_arguments(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    faults = ((name, fault(node, around)) for name, node, around in public(tree))
    assert not [f"{name} {found}" for name, found in faults if found]


@pytest.mark.parametrize(
    "docstring, found",
    [
        ("", "no docstring"),
        ("Adds.", "'first', 'second'"),
        ("Adds first.", "'second'"),
        ("Adds.\n\n    Args:\n        first: one.\n    ", "'second'"),
        ("Adds.\n\n    Args:\n        first: 1.\n        second: 2.\n        third: 3.\n", "third"),
    ],
)
def test_a_docstring_with_a_fault_is_found(docstring, found):
    code = f'def add(first, second):\n    """{docstring}"""\n'
    ((_, node, around),) = public(ast.parse(code))
    assert found in fault(node, around)


def test_a_good_docstring_has_no_fault():
    text = '"""Adds.\n\n    Args:\n        first: one.\n        second, more: the rest.\n    """'
    ((_, node, around),) = public(ast.parse(f"def add(first, second, *more):\n    {text}\n"))
    assert fault(node, around) is None
