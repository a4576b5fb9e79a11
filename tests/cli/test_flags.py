"""Every flag says what it is for, and something reads it."""

import argparse
import ast
import re
from pathlib import Path

import pytest

import tf_lungreg
from tf_lungreg.classification.settings import ClassifierSettings
from tf_lungreg.cli.main import VERBS, make_parser
from tf_lungreg.registration.settings import RegistrationSettings
from tf_lungreg.setting import settings_in
from tf_lungreg.training import TrainingSettings
from tf_lungreg.tuning import TuningSettings

PACKAGE = Path(tf_lungreg.__file__).parent
RECORDS = (RegistrationSettings, TrainingSettings, TuningSettings, ClassifierSettings)
SETTINGS = {name for record in RECORDS for name in settings_in(record)}


def parsers(parser, verb=None):
    """Every parser with the verb that it belongs to."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from parsers(below, verb or name)
    if verb:
        yield verb, parser


FLAGS = [
    pytest.param(verb, action, id=f"{parser.prog} {action.dest}"[len("tf-lungreg ") :])
    for verb, parser in parsers(make_parser())
    for action in parser._actions
    if not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))
]


def names_read(source):
    """What a verb's module reads of its options: attributes, and names in tuples or lists of words.

    What adds the flags is left out, and so are the texts of messages.
    """
    found = set()
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef) and not function.name.startswith(("add_", "_add")):
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "options":
                    found.add(node.attr)
                if isinstance(node, ast.Constant) and re.fullmatch("[a-z_ ]+", str(node.value)):
                    found.update(node.value.split())
    return found


def settings_read():
    """Attributes that anything but the command line reads."""
    files = [path for path in PACKAGE.rglob("*.py") if path.parent.name != "cli"]
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in files)
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)}


@pytest.fixture(scope="module")
def read():
    elsewhere = settings_read() & SETTINGS
    by_verb = {}
    for verb, module in VERBS.items():
        source = Path(module.__file__).read_text(encoding="utf-8")
        by_verb[verb] = names_read(source)
        for record in RECORDS:
            if record.__name__ in source:  # which takes every setting of the record
                by_verb[verb] |= elsewhere & set(settings_in(record))
    return by_verb


@pytest.mark.parametrize("verb, flag", FLAGS)
def test_a_flag_has_a_help_and_is_read(read, verb, flag):
    assert flag.help and flag.help.strip()
    if flag.dest != "config":  # which is read while the flags are
        assert flag.dest in read[verb]


def test_all_verbs_were_looked_at():
    assert {flag.values[0] for flag in FLAGS} == set(VERBS)
    assert {"classify train cohort", "classify predict json"} <= {flag.id for flag in FLAGS}


def test_a_flag_that_nothing_reads_is_found():
    source = """
def add_arguments(parser):
    parser.add_argument("--dead")

def run(options):
    raise ValueError("--dead: read by nobody.")
    print(options.living, [getattr(options, name) for name in ("listed", "too")])
"""
    assert names_read(source) >= {"living", "listed", "too"}
    assert "dead" not in names_read(source)
