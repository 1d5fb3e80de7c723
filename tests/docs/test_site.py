"""The site is built without a warning, and its pages fetch nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import guide_blocks as guide
import pytest


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    command = [Path(sys.executable).with_name("mkdocs"), "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=guide.ROOT, capture_output=True, text=True,
                          env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_is_in_it(site):
    pages = {str(path.relative_to(guide.DOCS).with_suffix(".html")) for path in guide.DOCS.rglob("*.md")}
    assert pages <= {str(path.relative_to(site)) for path in site.rglob("*.html")}


def test_pages_fetch_nothing(site):
    for page in site.rglob("*.html"):
        fetched = re.findall(
            r"<(?:script|link|img)\b[^>]*(?:src|href)=\"?(?:https?:)?//[^\s>]*", page.read_text("utf-8")
        )
        assert fetched == [], page.name


def test_pictures_of_readme_and_pages_are_there():
    for page in guide.all_pages():
        text = (guide.ROOT / page).read_text("utf-8")
        for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
            assert ((guide.ROOT / page).parent / name).is_file(), f"{page}: {name}"
