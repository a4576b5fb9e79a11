"""The documentation site: ``make docs`` builds it in ``build/docs``."""

from tf_lungreg import __version__

project = "tf_lungreg"
author = "tf_lungreg contributors"
copyright = "tf_lungreg contributors, Apache-2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["images"]

myst_heading_anchors = 3
# Blocks without a language are commands as they are typed, or the contents of a file.
highlight_language = "text"

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False

html_theme = "furo"
html_title = f"tf_lungreg {version}"
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]

# Pages that include a file from outside this folder, and the links that lead to that file.
_INCLUDED = {
    "](../CONTRIBUTING.md": "](contributing.md",
    "](../serving/README.md": "](serving.md",
    "](../tests/ct/README.md": "](ct.md",
}


def _link_to_pages(app, name, source):
    """Links that lead to a file on disk lead to its page on the site."""
    for file, page in _INCLUDED.items():
        source[0] = source[0].replace(file, page)


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", _link_to_pages)
