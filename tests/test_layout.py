"""The promises of the layout: links, lint that sees every room, light imports, nobody's package in the way."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("envs", "policies", "datasets")


def run(*command, cwd=ROOT, **options):
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, **options)


def test_the_links_are_relative_and_lead_to_the_top():
    for room in ROOMS:
        link = ROOT / "embodied_cf" / room
        assert link.is_symlink()
        assert os.readlink(link) == f"../{room}"


def test_datasets_gives_way_to_hugging_face():
    """A bare folder, unlike a package, does not hide `datasets` from whoever runs Python in the repository."""
    assert not (ROOT / "datasets" / "__init__.py").exists()
    done = run(sys.executable, "-c", "import datasets; print(datasets.Dataset.__module__)")
    assert done.stdout.strip() == "datasets.arrow_dataset", done.stderr


PLANTED = [
    ("embodied_cf/language/planted.py", "import embodied_cf.datasets.contract"),
    ("embodied_cf/language/planted.py", "import torch"),
    ("datasets/planted.py", "import embodied_cf.relabel.stages"),
    ("datasets/planted.py", "import embodied_cf.envs.state"),
    ("envs/planted.py", "import embodied_cf.vlm.captions"),
    ("policies/planted.py", "import embodied_cf.envs"),
    ("embodied_cf/vlm/planted.py", "import embodied_cf.relabel.options"),
    ("embodied_cf/relabel/planted.py", "import embodied_cf.cli"),
    ("embodied_cf/crm/planted.py", "import embodied_cf.envs.state"),
    ("embodied_cf/explain/planted.py", "import embodied_cf.crm"),
    ("embodied_cf/explain/episode/planted.py", "import embodied_cf.explain.input.noise"),
    ("embodied_cf/counterfactual/planted.py", "import embodied_cf.datasets.contract"),
    ("embodied_cf/relabel/planted.py", "import embodied_cf.datasets.privileged"),
    ("embodied_cf/train/planted.py", "import embodied_cf.datasets.privileged"),
    ("embodied_cf/errors_planted.py", None),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The sources in a directory of their own."""
    target = tmp_path_factory.mktemp("lint") / "repo"
    target.mkdir()
    for name in ("pyproject.toml", "embodied_cf", *ROOMS):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)
    return target


@pytest.mark.parametrize(("place", "line"), PLANTED)
def test_lint_sees_an_arrow_that_points_the_wrong_way(copy, place, line):
    planted = copy / place
    if line is not None:
        planted.write_text(f'"""Planted."""\n\n{line}\n')
    linter = Path(sys.executable).with_name("lint-imports")
    done = run(linter, "--no-cache", cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)})
    planted.unlink(missing_ok=True)
    assert (done.returncode != 0) == (line is not None), done.stdout


def test_ruff_bans_the_bare_folders(tmp_path):
    file = tmp_path / "bad.py"
    file.write_text("import datasets\nimport envs\nfrom policies import x\n")
    ruff = Path(sys.executable).with_name("ruff")
    done = run(ruff, "check", "--config", ROOT / "pyproject.toml", "--select", "TID251", file)
    assert done.stdout.count("TID251") == 3


HEAVY = "('torch', 'jax', 'tensorflow', 'numba', 'openai', 'tensorflow_datasets')"


@pytest.mark.parametrize("code", ["import embodied_cf", "import embodied_cf.cli", "import embodied_cf.relabel.options"])
def test_imports_are_light(code):
    done = run(sys.executable, "-c", f"import sys; {code}; print([m for m in {HEAVY} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_help_needs_nothing_heavy():
    probe = (
        "import sys, embodied_cf.cli as c\n"
        "try: c.main(['--help'])\n"
        f"except SystemExit: print('heavy', [m for m in {HEAVY} if m in sys.modules])"
    )
    done = run(sys.executable, "-c", probe)
    assert "heavy []" in done.stdout, done.stdout + done.stderr
    for verb in ("demo", "inspect", "relabel", "collect", "labels", "explain", "crm"):
        assert verb in done.stdout


def test_a_wheel_holds_every_room_and_table(tmp_path):
    """What a stranger installs: code behind the links and the TOML, prompt and page files beside it."""
    import zipfile

    source = tmp_path / "source"
    shutil.copytree(
        ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(".git", ".venv", "*.egg-info", "build", ".*cache")
    )
    done = run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path, source)
    if done.returncode != 0:
        done = run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", tmp_path, source)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    kept = (".py", ".toml", ".j2", ".safetensors", ".md", ".bib", ".txt")
    needed = {f"embodied_cf/{path.relative_to(ROOT)}" for room in ("datasets", "envs", "policies")
              for path in (ROOT / room).rglob("*") if path.suffix in kept}  # fmt: skip
    needed |= {str(path.relative_to(ROOT)) for path in (ROOT / "embodied_cf").rglob("*")
               if path.suffix in (".py", ".txt", ".json", ".j2") and "planted" not in path.name}  # fmt: skip
    assert needed <= names, sorted(needed - names)
    assert not [name for name in names if name.startswith(("datasets/", "envs/", "policies/"))]
