"""What the README and the docs tell a user to type must exist; their links must lead somewhere."""

import argparse
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tf_lungreg.cli.main import make_parser
from tf_lungreg.inference.network_pass import identity_model
from tf_lungreg.registration import pipeline

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("serving/*.md")])
PROGRAMS = ("make ", "tf-lungreg ", "python", ".venv/bin/python ")
# What stands before a program: variables, and Slurm's way to start it.
BEFORE = re.compile(r"^(?:[A-Z_]+=\S+ +|srun(?: +--\S+)* +)+")
FOREIGN = {"--signal", "--open-mode"}  # flags of other programs that the pages speak of


def code_blocks(page, *languages):
    """The texts between fences of these languages."""
    parts = re.split(r"^```(.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    # text, language, block, "", text, language, block, "", ...
    return [block for language, block in zip(parts[1::4], parts[2::4]) if language in languages]


def commands():
    for page in PAGES:
        for block in code_blocks(page, "sh", "bash", ""):
            for line in block.replace("\\\n", " ").splitlines():
                line = BEFORE.sub("", line).rstrip(" &")
                if line.startswith(PROGRAMS):
                    yield page.name, shlex.split(line, comments=True)


def write_examples(page, folder):
    """The configuration files that a page shows: blocks that begin with their name."""
    for block in code_blocks(page, "yaml"):
        name = re.match(r"\n# (\S+\.yaml)\n", block)
        if name:
            (folder / name[1]).write_text(block, encoding="utf-8")


def arguments_of(words):
    """What follows the program's name, for the commands of this package; None for others."""
    if words[0] == "tf-lungreg":
        return words[1:]
    if len(words) > 1 and words[1] == "train_keras.py":
        return ["train", *words[2:]]
    return None


OWN = [(page, words) for page, words in commands() if arguments_of(words) is not None]


@pytest.mark.parametrize("page, words", OWN, ids=lambda value: str(value)[:60])
def test_every_command_is_understood(page, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in PAGES:
        if path.name == page:
            write_examples(path, tmp_path)
    if not {"--help", "--version"} & set(words):
        make_parser().parse_args(arguments_of(words))


def test_commands_were_found_at_all():
    assert any(words[1:2] == ["train_keras.py"] for _, words in OWN)
    assert any(words[1:2] == ["phantom"] for _, words in OWN)


def test_commands_after_variables_and_in_scripts_were_found():
    assert sum(page == "tuning.md" and "runs/search" in words for page, words in OWN) >= 4
    assert any(page == "devices.md" and "mirrored" in words for page, words in OWN)
    assert any(page == "devices.md" and "--name" in words for page, words in OWN)


def test_commands_with_a_file_of_settings_were_found():
    assert {page for page, words in OWN if "--config" in words} == {
        *("registration.md", "training.md")
    }


def flags_of(parser):
    """Those of a parser and of all its verbs."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found = found.union(*map(flags_of, action.choices.values()))
    return found


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))], ids=lambda p: p.name
)
def test_every_flag_in_the_text_exists(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    verbs = next(a for a in make_parser()._actions if a.dest == "verb").choices
    everywhere = flags_of(make_parser()) | FOREIGN
    for code in re.findall(r"`([^`]+)`", text):
        words = code.split()
        own = words[:1] == ["tf-lungreg"] and words[1:2] and words[1] in verbs
        known = flags_of(verbs[words[1]]) if own else everywhere
        if own or words[0].startswith("--") or words[0] in verbs:
            for word in words:
                if word.startswith("--"):
                    assert word.split("=")[0].rstrip(",") in known, code


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = {words[1] for _, words in commands() if words[0] == "make" and len(words) > 1}
    assert {"train", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_relative_link_leads_to_a_file(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_readmes_python_runs():
    block = next(b for b in code_blocks(ROOT / "README.md", "python") if "build_" in b)
    names = {}
    exec(block, names)
    assert set(names["out"]) == {"warped", "grid", "affine", "spatial_gradients"}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "docs" / "registration.md"], ids=lambda p: p.name
)
def test_registrations_in_python_run(page, pair, monkeypatch, tmp_path):
    """The blocks that register, with the identity in place of the model, in a page's order."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "shared_model", lambda _: identity_model())
    shutil.copy(pair.fixed, "inhale.nii.gz")
    shutil.copy(pair.moving, "exhale.nii.gz")
    shutil.copy(pair.moving, "exhale_lobes.nii.gz")
    blocks = [b for b in code_blocks(page, "python") if re.search(r"\bresult\.|lr\.register\(", b)]
    assert len(blocks) > 1
    names = {}
    for block in blocks:
        exec(block, names)
    assert names["result"].quality.verdict in ("ok", "check", "failed")
