"""Each public docstring has a call and its output, and the calls give those outputs.

They run in a folder with cat.jpg and dog.jpg, two drawings that the bundled network takes for a cat and a dog, and with
photos/, twenty noisy copies of each. `image` is the cat as an array, `model` the bundled network, runs/train a finished
run. Digits that differ between machines are cut by an ellipsis.
"""

import doctest
import inspect

import numpy as np
import pytest
from PIL import Image

import cualex

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
RECORDS = {"CualexError", "Epoch", "Update", "__version__"}  # nobody makes one by hand
INTERNAL = {"plan", "centre", "open", "records", "write_report", "write_samples"}  # for commands and engines
COLOURS = {"cat": ((95, 55, 27), (199, 57, 19)), "dog": ((246, 182, 248), (45, 179, 76))}  # disc, background


def documented():
    """Return what must have an example, by its name."""
    found = {"cualex": cualex}
    for name in set(cualex.__all__) - RECORDS:
        value = getattr(cualex, name)
        found[f"cualex.{name}"] = type(value).__call__ if inspect.ismodule(value) else value
    for kind in (cualex.Model, cualex.Training):
        members = {name: member for each in reversed(kind.__mro__[:-1]) for name, member in vars(each).items()}
        for name, member in members.items():
            if name not in INTERNAL and (name[0] != "_" or name == "__iter__") and hasattr(member, "__doc__"):
                found[f"{kind.__name__}.{name}"] = member
    return found


def drawing(name, rng, noise):
    """Draw a disc in the colours of a class: uint8 (96, 96, 3)."""
    rows, columns = np.mgrid[:96, :96] - 48
    disc = (rows**2 + columns**2 < 30**2)[..., None]
    pixels = np.where(disc, *COLOURS[name]) + rng.normal(0, 1, (96, 96, 3)) * noise
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Make the folder of the examples, and the run in it."""
    place, rng = tmp_path_factory.mktemp("examples"), np.random.default_rng(2012)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("CUALEX_CACHE", str(place / "cache"))
        for name in COLOURS:
            (place / "photos" / name).mkdir(parents=True)
            Image.fromarray(drawing(name, rng, 0)).save(f"{name}.jpg", quality=95)
            for number in range(20):
                Image.fromarray(drawing(name, rng, 10)).save(f"photos/{name}/{number}.png")
        cualex.train("photos", network="cifar-relu", epochs=3).run()
    return place


@pytest.fixture(scope="module")
def bundled():
    """Load the bundled network once: examples only read it."""
    return cualex.load("cifar10")


@pytest.fixture
def names(place, bundled, monkeypatch):
    """Return the names that examples use."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("CUALEX_CACHE", str(place / "cache"))
    image = np.asarray(Image.open("cat.jpg"))
    return {"cualex": cualex, "np": np, "image": image, "model": bundled}


def run(name, text, names):
    """Run the examples of a docstring; return how many, and what was wrong."""
    test = doctest.DocTestParser().get_doctest(text, dict(names), name, None, 0)
    told = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=told.append)
    return len(test.examples), "".join(told)


@pytest.mark.parametrize("name", sorted(documented()))
def test_the_example_gives_its_output(name, names):
    count, wrong = run(name, inspect.getdoc(documented()[name]) or "", names)
    assert count, f"{name} shows no call"
    assert not wrong, wrong


def test_a_wrong_output_and_a_missing_example_are_found(names):
    assert run("planted", ">>> cualex.networks()[0]\n'alexnet-2012'", names)[1]
    assert not run("right", ">>> cualex.networks()[0]\n'alexnet'", names)[1]
    assert run("none", "Return the names.", names) == (0, "")
