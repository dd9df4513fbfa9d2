"""What Jupyter shows: HTML of models, networks, runs, evaluations and trainings, and curves that follow a training."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import cualex
from cualex import networks
from cualex.evaluation import Evaluation
from cualex.model import Model
from cualex.page import charts, notebook
from cualex.training.run import Run
from tests.support import colour_network
from tests.support.html_pages import Page


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Draw no plots, which take a second, but name them."""
    monkeypatch.setattr(charts, "plot", lambda draw, label: f'<img alt="{label}" src="data:,">')


@pytest.fixture
def jupyter(monkeypatch):
    """Stand in for IPython in a notebook; return what it displays: (how, bundle)."""
    shown = []

    class Handle:
        def update(self, bundle, raw):
            assert raw
            shown.append(("again", bundle))

    def display(bundle, raw, display_id):
        assert raw
        assert display_id is True
        shown.append(("new", bundle))
        return Handle()

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    monkeypatch.setattr(notebook, "EVERY", 0.0)
    return SimpleNamespace(shown=shown, shell=shell)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Work where there are 18 images of two colours."""
    rng = np.random.default_rng(0)
    for number in range(18):
        folder = tmp_path / "photos" / ("<b>red", "green")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 90, (20, 20, 3)) + 150 * np.eye(3, dtype=int)[number % 2]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    return {"network": "speck", "crop": 11, "batch_size": 8, "epochs": 3, "lr": 0.02}


def shown(value):
    found = Page(value._repr_html_())
    assert found.faults == []
    return found


def test_a_network_and_a_model():
    found = shown(networks.build("alexnet"))
    assert (
        "60,965,224 parameters, 724,406,816 multiply-adds, 659,272 neurons; 1,000 classes, crops of 227" in found.text
    )
    assert found.of("img", alt="The layers of alexnet")
    model = Model(colour_network.made())
    assert "Model(cifar-relu, 3 classes, crops of 27, cpu): green, red, blue" in shown(model).text


def test_an_evaluation_with_its_interval_and_the_worst_classes_first():
    labels, named = np.array([0] * 5 + [1] * 5), np.array([0] * 5 + [1, 1, 0, 0, 0])
    found = Evaluation(("<i>a", "b"), ("",) * 10, labels, named, np.ones(10, np.float32), 10, 0.25)
    text = shown(found).text
    assert "top-1 70.0%, loss 0.2500 10 images; 95 % interval of top-1 34.8 to 93.3 %" in text
    assert text.index("b 5 100.0 40.0 57.1") < text.index("<i>a 5 62.5 100.0 76.9")


def test_an_evaluation_of_nothing():
    none = np.zeros(0, np.int64)
    assert "0 images" in shown(Evaluation(("a",), (), none, none, np.zeros(0, np.float32), 0, 0.0)).text


@pytest.mark.usefixtures("speck")
def test_a_training_and_its_run(photos):
    training = cualex.train("photos", **photos)
    assert "Training('photos', speck, " in shown(training).text
    run = training.run()
    assert len(shown(run).of("svg")) == 2
    assert run.outcome()["verdict"] in shown(run).text
    assert len(shown(training).of("svg")) == 2
    assert "not finished" in shown(Run("runs/none")).text


@pytest.mark.usefixtures("speck")
def test_curves_follow_a_training_in_a_notebook(photos, jupyter):
    seen = [len(jupyter.shown) for _ in cualex.train("photos", **photos)]
    assert seen == [1, 2, 3]
    assert [how for how, _ in jupyter.shown] == ["new", "again", "again", "again"]
    dots = [Page(bundle["text/html"]).text.count("epoch") for _, bundle in jupyter.shown]
    assert all(dots)
    points = [Page(bundle["text/html"]).of("polyline")[0]["points"].count(",") for _, bundle in jupyter.shown]
    assert points == [1, 2, 3, 3]
    assert jupyter.shown[0][1]["text/plain"] == "Run('runs/train')"


@pytest.mark.usefixtures("speck")
def test_in_a_terminal_nothing_is_shown(photos, jupyter):
    del jupyter.shell.kernel
    cualex.train("photos", **photos).run()
    assert jupyter.shown == []


@pytest.mark.usefixtures("speck")
def test_curves_are_drawn_once_a_second(photos, jupyter, monkeypatch):
    monkeypatch.setattr(notebook, "EVERY", 1000.0)
    cualex.train("photos", **photos).run()
    assert [how for how, _ in jupyter.shown] == ["new", "again"]  # the first epoch, and the end


def test_styles_hold_inside_alone():
    css = notebook._styled("").partition("<style>")[2].partition("</style>")[0]
    assert css.startswith(".cualex { --ground: ")
    depth, selectors = 0, [""]
    for letter in css:
        if letter == "{":
            selectors += [""] * (depth == 0)
        elif depth == 0:
            selectors[-1] += letter
        depth += (letter == "{") - (letter == "}")
    assert depth == 0
    assert len(selectors) == 3
    assert all(".cualex" in each for selector in selectors[:-1] for each in selector.split(","))
