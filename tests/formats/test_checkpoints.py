"""Checkpoints of the usual trainers: the weights are found under any wrapper, the rest is skipped, nothing is run."""

import pickle

import numpy as np
import pytest

from cualex import networks
from cualex.errors import WeightsError
from cualex.formats import load as loading
from tests.support import foreign_files
from tests.support.foreign_files import named, rebuilt, text

SMALL = {"classes": 3, "crop": 67, "width": 1 / 32}


@pytest.fixture(scope="module")
def tensors():
    rng = np.random.default_rng(2012)
    shapes = networks.build("alexnet-torchvision", **SMALL).parameters()
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def imported(tmp_path):
    """Import a file: the weights, and the lines."""

    def load(data):
        (tmp_path / "file").write_bytes(data)
        return loading.load(tmp_path / "file", crop=67)

    return load


def dictionary(**entries):
    """Write a dictionary of values that are written already."""
    return b"}(" + b"".join(text(name) + data for name, data in entries.items()) + b"u"


def held(tensors, prefix="", first=0, **changes):
    """Write the entries of a state_dict."""
    return {
        prefix + name: rebuilt(str(first + key), each, **changes) for key, (name, each) in enumerate(tensors.items())
    }


def checkpoint(tensors, whole, numbers=lambda each: each.tobytes()):
    """Write a file whose storages are those of the tensors."""
    storages = {f"data/{key}": numbers(np.ascontiguousarray(each)) for key, each in enumerate(tensors.values())}
    return foreign_files.zipped({"data.pkl": b"\x80\x02" + whole + b".", "byteorder": b"little", **storages})


def thing(module, name, state):
    """Write an object of a class, with attributes."""
    return named(module, name) + b")\x81" + state + b"b"


NAMESPACE = thing("argparse", "Namespace", dictionary(model=text("alexnet"), lr=b"G" + bytes(8)))
PATH = named("pathlib", "PosixPath") + b"(" + text("runs") + b"tR"
OPTIMIZER = dictionary(state=b"}", param_groups=b"](" + dictionary(lr=b"K\1") + b"e")
ODD = b"}(" + b"K\1K\2\x86" + text("a key that is a tuple") + b"NK\1" + b"](K\1e" + text("one that is a list") + b"u"
WRAPPERS = {
    "plain": lambda own: dictionary(**own("")),
    "data parallel": lambda own: dictionary(**own("module.")),
    "compiled": lambda own: dictionary(**own("_orig_mod.")),
    "compiled, then parallel": lambda own: dictionary(**own("module._orig_mod.")),
    "parallel, then compiled": lambda own: dictionary(**own("_orig_mod.module.")),
    "below a name of a module": lambda own: dictionary(**own("backbone.")),
    "lightning": lambda own: dictionary(
        **{"state_dict": dictionary(**own("model.")), "pytorch-lightning_version": text("2.0"), "hyper_parameters": ODD}
    ),
    "torchvision's reference": lambda own: dictionary(
        model=dictionary(**own("")), optimizer=OPTIMIZER, epoch=b"K\5", args=NAMESPACE
    ),
    "timm": lambda own: dictionary(epoch=b"K\1", state_dict=dictionary(**own("")), args=NAMESPACE, output=PATH),
    "a usual script": lambda own: dictionary(net=dictionary(**own("")), acc=b"G" + bytes(8), epoch=b"K\5"),
    "an unusual script": lambda own: dictionary(run=dictionary(best=dictionary(weights=dictionary(**own("m."))))),
    "parts compiled": lambda own: dictionary(
        **{name.replace("features.", "features._orig_mod."): data for name, data in own("").items()}
    ),
    "parts in parallel": lambda own: dictionary(
        **{name.replace("features.", "features.module."): data for name, data in own("").items()}
    ),
    "a list": lambda own: b"](K\1" + dictionary(**own("")) + b"e",
    "in two parts": lambda own: dictionary(
        **{
            part: dictionary(**{name[len(part) + 1 :]: data for name, data in own("").items() if name.startswith(part)})
            for part in ("features", "classifier")
        }
    ),
    "deepspeed": lambda own: dictionary(module=dictionary(**own("")), ds_config=ODD),
    "a set, a date and bytes": lambda own: dictionary(
        model_state_dict=dictionary(**own("")),
        seen=b"\x8f(K\1K\2\x90",
        when=named("datetime", "datetime") + b"(U\x0a" + bytes(10) + b"tR",
        kinds=named("builtins", "set") + b"(](K\1etR",
        items=named("collections", "deque") + b")R(K\1K\2e",
        parts=b"](K\1K\2e0N",
    ),
}


def equal(found, tensors):
    assert found.keys() == tensors.keys()
    for name, values in tensors.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], values), name


@pytest.mark.parametrize("way", WRAPPERS)
def test_weights_are_found_under_any_wrapper(imported, tensors, way):
    theirs = foreign_files.torchvision(tensors)
    weights, _ = imported(checkpoint(theirs, WRAPPERS[way](lambda prefix: held(theirs, prefix))))
    equal(weights.tensors, tensors)


def test_what_was_skipped_is_said(imported, tensors):
    theirs = foreign_files.torchvision(tensors)
    moments = held({"a": next(iter(theirs.values()))}, first=0)
    whole = dictionary(model=dictionary(**held(theirs, "net.")), args=NAMESPACE, adam=dictionary(**moments))
    _, lines = imported(checkpoint(theirs, whole))
    assert ("weights", "those under model.net") in lines
    assert ("skipped", "objects of other code, which is not run (argparse.Namespace)") in lines
    assert ("skipped", "1 other tensors, of adam") in lines


def test_averages_of_the_weights_come_second(imported, tensors):
    theirs = foreign_files.torchvision(tensors)
    older = {name: each + 1 for name, each in theirs.items()}
    both = {**{f"old.{name}": each for name, each in older.items()}, **theirs}
    whole = dictionary(model_ema=dictionary(**held(older)), model=dictionary(**held(theirs, first=len(theirs))))
    weights, lines = imported(checkpoint(both, whole))
    equal(weights.tensors, tensors)
    assert ("weights", "those under model") in lines
    assert ("skipped", "16 other tensors, of model_ema") in lines


def test_counters_beside_the_weights_are_skipped_and_other_weights_are_not(imported, tensors):
    theirs = foreign_files.torchvision(tensors)
    entries = held(theirs) | {
        "features.total_ops": rebuilt("16", np.zeros(1), "DoubleStorage"),
        "features.1.num_batches_tracked": rebuilt("17", np.zeros((), np.int64), "LongStorage"),
    }
    both = {**theirs, "ops": np.zeros(1), "batches": np.zeros(1, np.int64)}
    weights, lines = imported(checkpoint(both, dictionary(**entries)))
    equal(weights.tensors, tensors)
    assert ("skipped", "2 counters (features.1.num_batches_tracked, ...)") in lines
    entries = held(theirs) | {"features.12.weight": rebuilt("0", next(iter(theirs.values())))}
    with pytest.raises(WeightsError, match=r"share memory"):
        imported(checkpoint(theirs, dictionary(**entries)))
    entries["features.12.weight"] = rebuilt("16", np.zeros((4, 4, 3, 3), np.float32))
    extra = {**theirs, "extra": np.zeros((4, 4, 3, 3), np.float32)}
    with pytest.raises(WeightsError, match=r"has features\.12\.weight, which alexnet-torchvision does not have"):
        imported(checkpoint(extra, dictionary(**entries)))


@pytest.mark.parametrize("last", ["fc", "classifier.6.0", "head.linear"])
def test_a_last_layer_of_another_name_is_known_by_its_inputs(imported, tensors, last):
    theirs = foreign_files.torchvision(tensors)
    other = {name.replace("classifier.6", last): each for name, each in theirs.items()}
    weights, lines = imported(foreign_files.pth(other))
    equal(weights.tensors, tensors)
    assert ("last layer", f"{last}, with 3 outputs, is classifier.6 here") in lines


def test_two_last_layers_are_refused_by_name(imported, tensors):
    theirs = foreign_files.torchvision(tensors)
    for part in ("weight", "bias"):
        values = theirs.pop(f"classifier.6.{part}")
        theirs |= {f"main.{part}": values, f"aux.{part}": values}
    with pytest.raises(WeightsError, match=r"2 layers could be its last \(main\.weight, aux\.weight\)\. Leave one"):
        imported(foreign_files.pth(theirs))


def bfloat16(values):
    """Return float32 as the bytes of the upper halves, and what these are as float32."""
    halves = (values.view("<u4") >> 16).astype("<u2")
    return halves.tobytes(), (halves.astype("<u4") << 16).view("<f4")


def test_bfloat16(imported, tensors):
    theirs = foreign_files.torchvision(tensors)
    entries = held(theirs, kind="BFloat16Storage")
    weights, lines = imported(checkpoint(theirs, dictionary(**entries), lambda each: bfloat16(each)[0]))
    equal(weights.tensors, {name: bfloat16(each)[1] for name, each in tensors.items()})
    assert "bfloat16" in dict(lines)["tensors"]


# --- the first public files


def first_parameter(key, values):
    """Write a parameter as PyTorch did in 2017: a class that is called, its state, and no version of the tensor."""
    storage = foreign_files.tupled(
        text("storage"),
        named("torch", "FloatStorage"),
        text(key),
        text("cuda:0"),
        foreign_files.number(values.size),
        b"N",
    )
    numbers = [
        foreign_files.tupled(*map(foreign_files.number, each))
        for each in (values.shape, foreign_files.steps(values.shape))
    ]
    made = (
        named("torch._utils", "_rebuild_tensor")
        + foreign_files.tupled(storage + b"Q", foreign_files.number(0), *numbers)
        + b"R"
    )
    state = b"(\x88\x89" + named("collections", "OrderedDict") + b")Rt"
    return named("torch.nn.parameter", "Parameter") + b"(" + made + b"tR" + state + b"b"


def test_the_first_public_files_hold_parameters(imported, tensors):
    theirs = foreign_files.torchvision(tensors)
    data = foreign_files.old_pth(theirs)
    new = foreign_files.state_dict(
        {name: rebuilt(str(key), each, legacy=True) for key, (name, each) in enumerate(theirs.items())}
    )
    old = foreign_files.state_dict(
        {name: first_parameter(str(key), each) for key, (name, each) in enumerate(theirs.items())}
    )
    assert new in data
    weights, _ = imported(data.replace(new, old))
    equal(weights.tensors, tensors)


def test_the_old_format_in_a_newer_protocol(imported, tensors):
    data = foreign_files.old_pth(foreign_files.torchvision(tensors))
    newer = data.replace(b"\x80\x02\x8a\x0a", b"\x80\x04\x95\x0e\0\0\0\0\0\0\0\x8a\x0a", 1)
    equal(imported(newer)[0].tensors, tensors)


def test_names_of_python_2(imported, tensors):
    theirs = foreign_files.torchvision(tensors)
    whole = (
        b"}(" + b"".join(b"U" + bytes([len(name)]) + name.encode() + data for name, data in held(theirs).items()) + b"u"
    )
    equal(imported(checkpoint(theirs, whole))[0].tensors, tensors)


# --- what is refused, by what it is

MODULE = thing("models", "AlexNet", dictionary(_modules=b"}", _parameters=b"}"))
REFUSED = {
    "a whole model": (
        MODULE,
        "a whole model (models.AlexNet), saved as an object of Python code, which is never run. Save",
    ),
    "a whole model in a checkpoint": (dictionary(model=MODULE, epoch=b"K\1"), "a whole model (models.AlexNet)"),
    "a list": (b"](" + rebuilt("0", np.zeros(2, np.float32)) + b"e", "a list of 1 tensors without names"),
    "averages in a list": (
        dictionary(shadow=b"](" + rebuilt("0", np.zeros(2, np.float32)) + b"e", decay=b"N"),
        "a list of 1 tensors without names",
    ),
    "integers": (
        dictionary(weight=named("torch._utils", "_rebuild_qtensor") + b")R"),
        "a quantised PyTorch model, whose weights are integers. Import the float model that it was made from.",
    ),
    "integers in their storages": (
        dictionary(
            weight=named("torch._utils", "_rebuild_qtensor")
            + foreign_files.tupled(
                foreign_files.tupled(
                    *(text("storage"), named("torch", "QInt8Storage"), text("0"), text("cpu"), foreign_files.number(2))
                )
                + b"Q"
            )
            + b"R"
        ),
        "a quantised PyTorch model, whose weights are integers.",
    ),
    "float8": (
        dictionary(weight=named("torch._utils", "_rebuild_tensor_v3") + b")R"),
        "its tensors have a dtype such as float8. Save them as float32: model.float().state_dict().",
    ),
    "the convolutions": (
        dictionary(**{f"features.{n}.{last}": rebuilt("0", np.zeros(2, np.float32)) for n, last in ((0, "weight"),)}),
        "are those of no AlexNet known here",
    ),
    "an object alone": (NAMESPACE, "it names argparse.Namespace, which is not on the list of allowed constructors"),
    "nothing": (b"}", "it holds no dictionary of tensors"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_others_are_refused_by_what_they_are(imported, kind):
    whole, words = REFUSED[kind]
    with pytest.raises(WeightsError) as caught:
        imported(checkpoint({"a": np.zeros(2, np.float32)}, whole))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


class Runs:
    """Call something when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", [eval, exec, open, __import__("os").system, __import__("subprocess").run])
def test_an_attack_beside_whole_weights_is_refused_and_not_run(imported, tensors, tmp_path, function):
    theirs = foreign_files.torchvision(tensors)
    attack = pickle.dumps(Runs(function, f"{tmp_path}/canary"), 2)[2:-1]
    with pytest.raises(WeightsError, match=r"it names .+, which is not on the list of allowed constructors"):
        imported(checkpoint(theirs, dictionary(model=dictionary(**held(theirs)), args=attack)))
    assert not (tmp_path / "canary").exists()


def test_other_calls_beside_whole_weights_are_not_made(imported, tensors, tmp_path):
    theirs = foreign_files.torchvision(tensors)
    for call in (Runs(getattr, "x", "upper"), Runs(print, f"{tmp_path}")):
        attack = pickle.dumps(call, 2)[2:-1].replace(b"q\0", b"").replace(b"q\1", b"")
        weights, lines = imported(checkpoint(theirs, dictionary(model=dictionary(**held(theirs)), args=attack)))
        equal(weights.tensors, tensors)
        assert any("objects of other code, which is not run" in sentence for _, sentence in lines)


def test_a_program_is_named(imported):
    with pytest.raises(WeightsError, match=r"a TorchScript program \(torch\.jit\.save\), which is code and never run"):
        imported(foreign_files.zipped({"data.pkl": b"\x80\x02}.", "constants.pkl": b"\x80\x02).", "code/a.py": b""}))
