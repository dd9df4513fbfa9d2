"""What cualex 0.1 left and printed is still read, gone on with and printed; tests/golden/v0.1/make.py made it.

Weights, a pack, two stopped runs, exports, and of every command its document and tables. A later version may add keys
and columns. Where this machine computes or decodes otherwise than the one of conditions.json does, bits become
tolerances, and values that cannot be compared are said in the reason of a skip.
"""

import csv
import hashlib
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

import cualex
from cualex import weights
from cualex.cli import main
from cualex.data import pack, sources
from cualex.data.sources import hold_out
from tests.golden import conditions, documents
from tests.support import json_keys

V01 = Path(__file__).parent / "golden/v0.1"
STORED = json.loads((V01 / "conditions.json").read_text())
RECORDS = {file.stem: json.loads(file.read_text()) for file in sorted((V01 / "outputs").glob("*.json"))}
# Their values are times, or this machine's.
OUTLINES = {"doctor", "profile", "profile-data", "benchmark", "experiment"}
OUTLINES |= {"train-overfit", "train-check-gradients"}
SLOW = OUTLINES - {"doctor"} | {"train"}  # more than half a second each
# Their images are decoded from files, and do not come from a pack of 0.1.
DECODED = {"predict", "predict-lenet5", "features-csv", "features-npy", "evaluate-two", "train"}
TRAINED = {"train"}
GROWING = {"show-activations", "experiment-list"}  # tables with a row for whatever there is, new ones at the end

# A sum of K products is off by 4 * 6e-8 * sqrt(K) of SUM|ab| at the most, and a layer hands
# that on to the next: as many times as there are layers, of which alexnet's have K up to 363, in conv1.
CLOSE = 4 * 6e-8 * math.sqrt(363) * 8


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Work in a directory where all that 0.1 left lies, as 0.1 left it there."""
    place = tmp_path_factory.mktemp("golden").resolve()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("CUALEX_CACHE", str(place / "cache"))
        for name in ("CUALEX_DEVICE", "CUALEX_DEBUG"):
            patch.delenv(name, raising=False)
        put(place)
        yield place


def put(place):
    """Put the files of 0.1 into a directory; images keep their dates, and packs lie where 0.1 looked for them."""
    for name in ("images", "whole", "stopped", "exported"):
        shutil.copytree(V01 / name, place / name)
    shutil.copy(V01 / "names.txt", place)
    documents.date(place / "images")
    documents.divide(place)
    key = hashlib.sha256(os.fsencode(str(place / "images"))).hexdigest()[:12]
    for held in (V01 / "packs").iterdir():
        shutil.copytree(held, place / "cache/packs" / f"{held.name}-{key}")
    for file in place.rglob("*.json"):
        file.write_text(file.read_text().replace(documents.PLACE, str(place)))


def invoke(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def other(kind):
    """Say how this machine differs from the one of the stored files in what "bits" or "pixels" depend on, or ""."""
    here, stored = getattr(conditions, kind)(), STORED[kind]
    different = [name for name in stored if here[name] != stored[name]]
    return ", ".join(f"{name} {here[name]}, stored {stored[name]}" for name in different)


def v01_source(work):
    """Find the set as 0.1 divided it."""
    return sources.find(work / "images", split_rule=hold_out.FIRST_RULE, val=hold_out.FIRST_VALIDATING)


def packed(split, size):
    """Read a pack of 0.1 without cualex: pixels, names, labels, mean."""
    (found,) = (V01 / "packs").glob(f"images-{split}-{size}")
    index = json.loads((found / "index.json").read_text())
    pixels = np.fromfile(found / "pictures.uint8", np.uint8).reshape(-1, size, size, 3)
    mean = found / "mean.float32"
    return pixels, index, np.fromfile(mean, np.float32).reshape(size, size, 3) if mean.exists() else None


def read(held):
    """Read all images of a pack with cualex."""
    out = np.empty((len(held.names), held.size, held.size, 3), np.uint8)
    held.read(np.arange(len(out)), out)
    return out


# --- weights


@pytest.mark.parametrize("name", ["whole/alexnet", "stopped/alexnet", "whole/lenet5", "stopped/lenet5"])
@pytest.mark.parametrize("file", ["last", "best"])
def test_weights_files_are_read_to_the_bit(work, name, file):
    path = work / name / f"{file}.safetensors"
    kept, raw = weights.load(path), load_file(path)
    assert np.array_equal(kept.mean, raw.pop("preprocessing.mean"))
    assert kept.classes == ["lamp", "mug", "ring"]
    held = kept.tensors | {f"velocity.{name}": each for name, each in kept.velocities.items()}
    assert held.keys() == raw.keys()
    for name, tensor in raw.items():
        assert held[name].tobytes() == tensor.tobytes(), name


@pytest.mark.parametrize(("record", "size"), [("predict", 76), ("predict-lenet5", 32)])
def test_weights_predict_the_stored_probabilities(work, record, size):
    """From the pixels of the pack, so that no decoder has a part in it."""
    document = RECORDS[record]["document"]
    model = cualex.load(work / document["weights"])
    stored = {each["picture"]: each.get("predictions") for each in document["results"]}
    for split in ("train", "val"):
        pixels, index, _ = packed(split, size)
        for name, found in zip(index["names"], model.probabilities(pixels), strict=True):
            old = {each["class"]: each["probability"] for each in stored[f"images/{name}"]}
            new = dict(zip(model.classes, found.tolist(), strict=True))
            assert new == pytest.approx(old, abs=CLOSE, rel=0)


# --- packs


@pytest.mark.parametrize("size", [76, 32])
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_pack_is_read_and_not_made_anew(work, split, size):
    found = pack.existing(v01_source(work), split, size)
    assert found is not None, "the pack of 0.1 is not found where 0.1 looked for it"
    pixels, index, mean = packed(split, size)
    assert np.array_equal(read(found), pixels)
    assert found.labels.tolist() == index["labels"]
    assert list(found.names) == index["names"]
    assert list(found.classes) == index["classes"] == ["lamp", "mug", "ring"]
    assert [list(each) for each in found.skipped] == index["skipped"]
    if split == "train":
        assert np.array_equal(found.mean, mean)
        assert [list(row) for row in found.covariance] == index["colours"]["covariance"]
        assert list(found.components.variances) == index["colours"]["variances"]
        assert [list(row) for row in found.components.directions] == index["colours"]["directions"]


@pytest.mark.parametrize("size", [76, 32])
def test_images_are_decoded_to_the_pixels_of_the_pack(work, tmp_path, size):
    if different := other("pixels"):
        pytest.skip(f"decoders may differ: {different}")
    for split in ("train", "val"):
        list(pack.pack(v01_source(work), split, size, cache=tmp_path))
        made = pack.existing(v01_source(work), split, size, cache=tmp_path)
        pixels, index, _ = packed(split, size)
        assert np.array_equal(read(made), pixels)
        assert list(made.names) == index["names"]


# --- runs


@pytest.mark.parametrize("name", ["alexnet", "lenet5"])
def test_a_stopped_run_goes_on_to_the_bits_of_the_run_never_stopped(work, name):
    packs = {file: file.stat() for file in (work / "cache/packs").glob("images-*/*")}
    result = invoke("train", "--resume", f"stopped/{name}", "--keep")
    assert result.exit_code == 3, result.output  # the cut image
    assert all(file.stat() == before for file, before in packs.items()), "packed anew"
    resumed, whole = work / "stopped" / name, V01 / "whole" / name
    if different := other("bits"):  # each update adds its own roundings
        finished = json.loads((whole / "finished.json").read_text())
        close = CLOSE * finished["updates"]
        assert distance(resumed, whole, "last") < close, different
    else:
        close = None
        for file in ("last.safetensors", "best.safetensors"):
            assert documents.digest(resumed / file) == documents.digest(whole / file), file
    assert documents.differences(documents.results(whole), documents.results(resumed), close) == []
    assert documents.differences(documents.log(whole), documents.log(resumed), close) == []
    stored = json.loads((whole / "args.json").read_text().replace(documents.PLACE, str(work)))
    assert documents.differences(stored, json.loads((resumed / "args.json").read_text())) == []
    for file in ("finished.json", "env.json"):
        old, new = (json.loads((run / file).read_text()) for run in (whole, resumed))
        assert documents.lacking(documents.outline(old), documents.outline(new)) == []
    assert (resumed / "classes.txt").read_text() == (whole / "classes.txt").read_text()
    assert (resumed / "skipped.csv").read_text().splitlines()[0] == "picture,reason"


def distance(run, other_run, name):
    """Return the largest relative norm of the difference between two tensors of one name."""
    ours, theirs = (load_file(place / f"{name}.safetensors") for place in (run, other_run))
    assert ours.keys() == theirs.keys()
    return max(np.linalg.norm(ours[name] - each) / np.linalg.norm(each) for name, each in theirs.items())


# --- what commands print


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in RECORDS]
)
def test_a_command_prints_and_writes_what_it_did(work, name):
    """Tries the quick commands, every command under `-m slow`."""
    record = RECORDS[name]
    result = invoke(*record["words"])
    if name != "doctor":  # which looks for this machine's faults
        assert result.exit_code == record["exit_code"], result.output
    old = json.loads(json.dumps(record["document"]).replace(documents.PLACE, str(work)))
    new = json.loads(result.stdout)
    assert json_keys.faults(record["words"], new) == []
    if name in GROWING:
        new = new[: len(old)]
    for file, digest in record["tensors"].items():
        assert documents.digest(work / file) == digest, file
    for file, digest in record["bytes"].items():
        assert documents.sha256(work / file) == digest, file
    tables = [(text, (work / file).read_text(encoding="utf-8")) for file, text in record["tables"].items()]
    for texts in tables:
        compare_columns(*map(rows, texts))
    if name in OUTLINES:
        assert documents.lacking(old, documents.outline(new)) == []
        return
    reasons = [other("pixels") if name in DECODED else "", other("bits") if name in TRAINED else ""]
    if any(reasons):
        assert documents.lacking(documents.outline(old), documents.outline(new)) == []
        pytest.skip(f"keys and types are as they were; values may differ: {', '.join(filter(None, reasons))}")
    assert documents.differences(old, new, CLOSE) == []
    for texts in tables:
        compare_cells(*map(rows, texts))
    if name == "features-npy":
        stored, found = np.load(V01 / "outputs/pool2.npy"), np.load(work / "pool2.npy")
        assert (found.shape, found.dtype) == (stored.shape, stored.dtype)
        assert np.linalg.norm(found - stored) <= CLOSE * np.linalg.norm(stored)


def rows(text):
    return list(csv.reader(text.splitlines()))


def compare_columns(old, new):
    """Hold a table against an old one: the old columns come first, in their order, and the rows are as many."""
    assert new[0][: len(old[0])] == old[0]
    assert len(new) == len(old)


def compare_cells(old, new):
    """Hold the cells of the old columns against the old ones: text is equal, numbers are close, times are free."""
    for place, name in enumerate(old[0]):
        if name not in documents.TIMES:
            for before, after in zip(old[1:], new[1:], strict=True):
                assert documents.differences(number(before[place]), number(after[place]), CLOSE) == [], name


def number(cell):
    try:
        return float(cell)
    except ValueError:
        return cell


def test_exports_of_0_1_and_of_today_are_the_same_weights(work):
    """What is exported today may be laid out otherwise; it comes back as the same tensors."""
    for to, name in (("onnx", "alexnet"), ("torch", "lenet5")):
        best = f"whole/{name}/best.safetensors"
        assert invoke("export", "--to", to, "-o", f"again.{to}", "-w", best).exit_code == 0
        assert invoke("import", f"again.{to}", "-o", f"again-{to}.safetensors").exit_code == 0
        assert documents.digest(work / f"again-{to}.safetensors") == documents.digest(work / best)


def test_options_have_the_flags_and_the_names_in_the_environment_that_they_had():
    old, new = json.loads((V01 / "options.json").read_text()), documents.options(main)
    assert set(old) <= set(new)
    for command, parameters in old.items():
        for name, flags in parameters.items():
            assert set(flags) <= set(new[command].get(name, ())), f"{command} {name}"


# --- the comparison itself


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": 1, "b": 2}, {"a": 1}, ["/b: missing"]),
        ({"a": 1}, {"a": 1.0}, ["/a: 1.0, was 1"]),
        ({"a": [1, 2]}, {"a": [1]}, ["/a: [1], was [1, 2]"]),
        ({"a": 0.5}, {"a": 0.5 + 1e-6}, []),
        ({"a": 0.5}, {"a": 0.501}, ["/a: 0.501, was 0.5"]),
        ({"a": 0.5}, {"a": math.nan}, ["/a: nan, was 0.5"]),
        ({"text": "a picture"}, {"text": "an image"}, []),
        ({"text": "a picture"}, {"text": None}, ["/text: NoneType, was str"]),
    ],
)
def test_differences_are_found(old, new, said):
    assert documents.differences(old, new, CLOSE) == said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ([{"a": 1}, {"a": None}], [{"a": 1, "b": 2}], []),
        ([{"a": 1}, {"a": 2, "b": 1}], [{"a": 1}], []),
        ([{"a": 1}], [{"a": 1}, {"b": 1}], ["/0/a: missing"]),
        ([{"a": 1}], [{"a": None}], ["/0/a: NoneType, was int"]),
        ({"a": {"b": 1}}, {"a": {}}, ["/a/b: missing"]),
    ],
)
def test_what_an_outline_lacks_is_found(old, new, said):
    assert documents.lacking(documents.outline(old), documents.outline(new)) == said
