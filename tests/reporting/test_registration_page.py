"""The report: what it says, and that a browser shows it without errors or requests."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import nibabel as nib
import numpy as np
import pytest

from tf_lungreg.images.geometry import apply_affine
from tf_lungreg.registration.pipeline import register
from tf_lungreg.reporting.registration_page import result_views, write_report


@pytest.fixture
def result(tools, pair, tmp_path):
    image = nib.load(pair.fixed)
    mask = tmp_path / "mask.nii.gz"
    inside = np.zeros(image.shape, np.uint8)
    inner = tuple(slice(n // 3, n - n // 3) for n in image.shape)
    inside[inner] = image.get_fdata()[inner] > 50
    nib.save(nib.Nifti1Image(inside, image.affine), mask)
    model = tools.known_model(tools.SOME_AFFINE, bend=0.3)
    return register(pair.fixed, pair.moving, model, fixed_mask=mask)


@pytest.fixture
def report(result, tmp_path):
    write_report(tmp_path / "report.html", result)
    return tmp_path / "report.html"


@pytest.mark.parametrize("orientation", ["LPS", "SAR", "IRP"])
def test_slices_are_upright_and_at_their_place(tools, result, orientation):
    directions = {
        "Coronal": ("P", "I", "L"),
        "Axial": ("I", "P", "L"),
        "Sagittal": ("L", "I", "P"),
    }
    lung = result.lung.data
    areas = [lung.sum(axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    fullest = apply_affine(result.fixed.frame.affine, np.array([a.argmax() for a in areas]))
    for view in result_views(result):
        assert nib.aff2axcodes(view.frame.affine) == directions[view.name]
        assert view.frame.shape[0] == 1 and view.frame.shape == view.fixed.shape
        np.testing.assert_allclose(view.frame.spacing[1], view.frame.spacing[2])
        across = apply_affine(np.linalg.inv(view.frame.affine), fullest)[0]
        assert abs(across) <= 0.5 + 1e-6
        assert view.sides == (("A", "P") if view.name == "Sagittal" else ("R", "L"))
        # One pixel by hand: the warped image at a world point, windowed by the moving image's.
        index = tuple(n // 2 for n in view.frame.shape)
        point = apply_affine(view.frame.affine, np.array(index))
        to_before = apply_affine(view.frame.affine, view.grid[index])
        found = result.map_points(point) - result.parts.translation
        np.testing.assert_allclose(to_before, found, atol=1e-6)
        assert view.lung.dtype == bool and view.lung.any()
        assert view.after.std() > 0.05 and view.after.min() >= 0 and view.after.max() <= 1


class Page(HTMLParser):
    """The page's headings and whatever it would fetch."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [v for k, v in attributes if k in ("src", "href", "srcset", "data")]


def test_the_page_holds_all_it_shows(report, result):
    text = report.read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("img") == 6 + 1 + 3  # two a plane to compare, volume change, Figure 2
    assert all(source.startswith("data:") for source in page.sources)
    assert not re.search(r"(?<!data:)\bhttps?://|@import|url\(", text)
    assert result.quality.reasons[0] in text
    for letter, count in {"R": 2, "L": 2, "A": 1, "P": 1}.items():  # over the sliders
        assert len(re.findall(f'<span class="side \\w+">{letter}</span>', text)) == count
    assert f'class="verdict {result.quality.verdict}"' in text
    assert f"{result.measures.ncc_after:.3f}" in text


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
def test_a_browser_shows_it_without_errors_or_requests(report, tmp_path):
    """The page reports its own errors, requests, unloaded pictures and width in its title."""
    script = """<script>
    const wrong = [];
    addEventListener('error', e => wrong.push(e.message || 'picture'), true);
    const log = console.error; console.error = (...a) => { wrong.push(a.join(' ')); log(...a); };
    addEventListener('load', () => {
      const fetched = performance.getEntriesByType('resource')
        .map(e => e.name).filter(n => !n.startsWith('data:'));
      const range = document.querySelector('.compare input');
      range.value = 80; range.dispatchEvent(new Event('input'));
      const empty = [...document.images].filter(i => !i.naturalWidth).length;
      const at = getComputedStyle(document.querySelector('.compare')).getPropertyValue('--at');
      const wide = document.documentElement.scrollWidth > innerWidth;
      document.title = JSON.stringify({wrong, fetched, empty, at: at.trim(), wide});
    });
    </script>"""
    text = report.read_text(encoding="utf-8").replace("<head>", "<head>" + script)
    (tmp_path / "watched.html").write_text(text, encoding="utf-8")
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
        *("--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=390,800"),
        *("--virtual-time-budget=5000", "--dump-dom", (tmp_path / "watched.html").as_uri()),
    ]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    title = re.search("<title>(.*?)</title>", run.stdout, re.S)[1]
    assert title == '{"wrong":[],"fetched":[],"empty":0,"at":"80%","wide":false}', run.stderr
    assert "CONSOLE" not in run.stderr
