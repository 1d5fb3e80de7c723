"""Known ways to have a pickle run code, tried on the one reader there is: each is refused by name."""

import copyreg
import os
import pickle

import numpy as np
import pytest

from embodied_cf.datasets import restricted_pickle
from embodied_cf.datasets.convert.gnm_pickle import load_arrays
from embodied_cf.datasets.restricted_pickle import load_restricted
from embodied_cf.errors import DatasetError

GADGETS = [
    "os.system", "posix.system", "nt.system", "os.popen", "subprocess.Popen", "subprocess.check_output", "pty.spawn",
    "builtins.eval", "builtins.exec", "builtins.getattr", "builtins.__import__", "__builtin__.eval", "builtins.open",
    "builtins.print", "importlib.import_module", "runpy._run_code", "pydoc.locate", "pickle.loads", "_pickle.loads",
    "functools.partial", "operator.attrgetter", "operator.methodcaller", "types.FunctionType", "types.CodeType",
    "marshal.loads", "ctypes.CDLL", "socket.socket", "shutil.rmtree", "webbrowser.open", "code.interact", "bdb.Bdb",
    "timeit.timeit", "cProfile.run", "codecs.decode", "copyreg._reconstructor", "collections.OrderedDict",
    "numpy.load", "numpy.fromfile", "numpy.testing._private.utils.runstring", "numpy.f2py.capi_maps.getinit",
    "numpy.core.multiarray.fromfile", "numpy.ufunc", "torch.load", "torch.storage._load_from_bytes", "torch.jit.load",
    "torch.utils.collect_env.run", "joblib.load", "dill.loads", "asyncio.unix_events._UnixSubprocessTransport._start",
]  # fmt: skip


def spellings(module, name):
    """One call of module.name("x"), as each generation of pickles writes it."""
    yield b"c" + f"{module}\n{name}\n".encode() + b"(S'x'\ntR."
    yield b"(S'x'\ni" + f"{module}\n{name}\n".encode() + b"."
    yield b"(c" + f"{module}\n{name}\n".encode() + b"S'x'\no."
    short = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    yield b"\x80\x04" + short + b"\x93\x8c\x01x\x85R."
    yield b"\x80\x04" + short + b"\x93)\x81."
    yield b"\x80\x04" + short + b"\x93)}\x92."
    yield b"\x80\x04}\x8c\x01a" + short + b"\x93)Rs."
    yield b"\x80\x04" + short + b"\x93}\x8c\x01xNsb."


@pytest.mark.parametrize("gadget", GADGETS)
def test_no_gadget_is_given(tmp_path, gadget):
    module, _, name = gadget.rpartition(".")
    for content in spellings(module, name):
        (tmp_path / "a.pkl").write_bytes(content)
        with pytest.raises(DatasetError, match=rf"refused: not a plain pickle .*it asks for {gadget}\)"):
            load_arrays(tmp_path / "a.pkl")


@pytest.mark.parametrize("dotted", ["_reconstruct.__globals__", "scalar.__globals__", "_reconstruct.__init__"])
def test_no_attribute_of_a_stand_in_is_given(tmp_path, dotted):
    """From protocol 4 on a name may have dots, by which Python's own reader walks from attribute to attribute."""
    module = b"numpy.core.multiarray"
    content = (
        b"\x80\x04\x8c" + bytes([len(module)]) + module + b"\x8c" + bytes([len(dotted)]) + dotted.encode() + b"\x93."
    )
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"it asks for numpy.core.multiarray.{dotted}"):
        load_arrays(tmp_path / "a.pkl")


class _Runs:
    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.mark.parametrize("protocol", range(6))
def test_no_call_hides_among_honest_arrays(tmp_path, protocol):
    for value in ({"a": np.zeros(3), "b": _Runs()}, {_Runs(): np.zeros(3)}, [np.zeros(2), _Runs()]):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
        with pytest.raises(DatasetError, match=r"it asks for posix\.system"):
            load_arrays(tmp_path / "a.pkl")


def test_registered_shorthands_are_no_way_round(tmp_path):
    """A program may register numbers for classes; a pickle then names the number."""
    copyreg.add_extension("os", "system", 0xF1)
    try:
        (tmp_path / "a.pkl").write_bytes(b"\x80\x02\x82\xf1(S'exit 1'\ntR.")
        with pytest.raises(DatasetError, match=r"it asks for os\.system"):
            load_arrays(tmp_path / "a.pkl")
    finally:
        copyreg.remove_extension("os", "system", 0xF1)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x80\x04P1\n.", "refers to something outside|persistent"),
        (b"\x80\x04K\x01Q.", "refers to something outside"),
        (b"\x80\x04" + b"}" * 200 + b".", "more than 100 steps"),
        (b"\x80\x04]" + b"(]" * 40 + b"l" * 39 + b"e.", "."),
        (b"I" + b"9" * 5000 + b"\n.", "."),
        (b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b".", "."),
        (b"\x80\x04\x95" + (2**62).to_bytes(8, "little") + b"N.", "."),
        (b"\x80\x63N.", "."),
    ],
)
def test_absurd_pickles_end_in_a_named_error(tmp_path, monkeypatch, content, told):
    monkeypatch.setattr(restricted_pickle, "_MOST_STEPS", 100)
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(DatasetError, match=told):
        load_arrays(tmp_path / "a.pkl")


def test_stand_ins_are_all_there_is():
    assert load_restricted(pickle.dumps({"a": [1, 2.5, "x", None, True, (b"y",)]}), {}) == {
        "a": [1, 2.5, "x", None, True, (b"y",)]
    }
    with pytest.raises(pickle.UnpicklingError, match=r"it asks for collections\.OrderedDict"):
        load_restricted(b"ccollections\nOrderedDict\n)R.", {})
