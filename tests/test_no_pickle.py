"""No file is ever unpickled, and no code of a file run: the source is searched for whatever could."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SEARCHED = ("datasets", "envs", "policies", "benchmarks", "embodied_cf")
FORBIDDEN_MODULES = frozenset(
    {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle", "yaml"}
)
"""PyYAML too: its plain loader makes any object."""
ALLOWED_IMPORTS = {
    ("datasets/restricted_pickle.py", "pickle"),  # the one reader, which gives a pickle stand-ins only
    ("datasets/convert/rlds_to_gnm.py", "pickle"),  # writes trajectories for GNM's own code; reads none
}
FORBIDDEN_CALLS = frozenset({"eval", "exec", "compile", "__import__"})
ALLOWED_PICKLE = {
    "datasets/restricted_pickle.py": {"pickle.Unpickler", "pickle.UnpicklingError"},
    "datasets/convert/rlds_to_gnm.py": {"pickle.dumps"},
}


def sources():
    for folder in SEARCHED:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(("embodied_cf/datasets", "embodied_cf/envs", "embodied_cf/policies")):  # links
                yield name, ast.parse(path.read_text(encoding="utf-8"))


def complaints(name, tree):
    """Yield what a module does that it must not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for module in (found.partition(".")[0] for found in modules):
                if module in FORBIDDEN_MODULES and (name, module) not in ALLOWED_IMPORTS:
                    yield f"{name}:{node.lineno} imports {module}"
        elif isinstance(node, ast.Attribute):
            told = ast.unparse(node)
            if told.startswith("pickle.") and told not in ALLOWED_PICKLE.get(name, set()):
                yield f"{name}:{node.lineno} uses {told}"
        elif isinstance(node, ast.Call):
            yield from (f"{name}:{node.lineno} {problem}" for problem in _call(node))


def _call(node):
    called = ast.unparse(node.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if called in ("torch.load", "torch.jit.load", "torch.hub.load", "jax.numpy.load", "jnp.load"):
        yield f"calls {called}"
    if called in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
        yield "calls np.load without allow_pickle=False"
    if called in ("np.fromregex", "np.genfromtxt", "pd.read_pickle", "pandas.read_pickle"):
        yield f"calls {called}"
    if called in FORBIDDEN_CALLS:
        yield f"calls {called}"
    if given.get("trust_remote_code", "False") != "False":
        yield "trusts remote code"
    if called == "AutoModel.from_pretrained" and given.get("use_safetensors") != "True":
        yield "loads weights that may be pickled"


def test_nothing_unpickles_and_nothing_runs_text():
    modules = dict(sources())
    assert len(modules) > 300
    assert {"policies/checkpoint.py", "datasets/shards.py", "embodied_cf/explain/checkpoints.py"} <= modules.keys()
    assert [told for name, tree in modules.items() for told in complaints(name, tree)] == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from pickle import loads", "import joblib.numpy_pickle", "from dill import load",
        "torch.load(f)", "torch.load(f, weights_only=True)", "np.load(f)", "np.load(f, allow_pickle=True)",
        "numpy.load(f, None, True)", "eval(text)", "exec(text)", "AutoModel.from_pretrained(f)",
        "AutoTokenizer.from_pretrained(f, trust_remote_code=True)", "pickle.loads(b)", "__import__(name)",
    ],
)  # fmt: skip
def test_the_search_finds(code):
    assert list(complaints("policies/other.py", ast.parse(code)))


def test_the_two_that_may_name_pickle_do_not_load():
    for name, told in ALLOWED_PICKLE.items():
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
        assert {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)
                and ast.unparse(node).startswith("pickle.")} == told  # fmt: skip
