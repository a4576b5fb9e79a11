"""Sessions that take longer than CI: `nox -s slow`."""

import nox

nox.options.sessions = ["tests"]


@nox.session(python=["3.11", "3.13"])
def tests(session):
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "not slow", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session(python="3.11")
def slow(session):
    """The main job from scratch and everything else that takes minutes."""
    session.install("-e", ".[test]")
    session.run("pytest", "-m", "slow", *session.posargs)
    session.run("pytest", "tests/images/test_fuzz.py", env={"LUNGREG_FUZZ": "20000"})


@nox.session(python="3.11")
def mutation(session):
    """Whether the tests notice errors in geometry and ops; about an hour."""
    session.install("-e", ".[test]", "cosmic-ray")
    session.run("python", "tests/mutation.py", *session.posargs)


@nox.session
def lint(session):
    session.install("ruff==0.17.*", "import-linter")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache")


@nox.session(python="3.11")
def docs(session):
    """The documentation site, in build/docs."""
    session.install("-e", ".[docs]")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "docs", "build/docs")
