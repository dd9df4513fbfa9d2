"""A report: all of its sections from known counts, nothing from outside, and a sentence for what cannot be had."""

import ast
import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cualex import weights as weights_file
from cualex.data.opening import Packing
from cualex.page import charts, report, sections
from cualex.training import confidence, verdict
from cualex.training.run import Run
from tests import ROOT
from tests.support import colour_network
from tests.support.colour_network import SHOWN, fill
from tests.support.html_pages import Page
from tests.support.tiny_runs import TINY

NAMES = {"green": "<script>alert(1)", "red": 'a & b "c"', "blue": "日本 blue"}
PLOT = charts.plot
RESULTS = """epoch,time,train/loss,val/loss,metrics/accuracy_top1,metrics/accuracy_top5,lr,img/s
1,60,1.5,1.25,0.5,1,0.01,90
2,120,0.5,nan,0.75,1,0.01,90
3,185,0.25,0.75,0.6875,1,0.001,90
"""


def finished(place, data):
    """Make a finished run of the network of colours, whose classes have names that are HTML."""
    path = place / "runs" / "train"
    path.mkdir(parents=True)
    made = colour_network.made()
    weights_file.save(path / "best.safetensors", replace(made, classes=[NAMES[name] for name in made.classes]))
    epochs = [
        {"epoch": number, "loss": 1 / number, "val_loss": 1 / number, "top1": 0.75, "rate": 0.01}
        for number in (1, 2, 3)
    ]
    best = {"epoch": 2, "top1": 0.75}
    judged = verdict.judge(epochs, best, np.array([10, 6]), np.array([20, 12]))
    outcome = {"epochs": 3, "best_epoch": 2, "top1": 0.75, "top5": 1.0} | judged.document()
    described = {
        "data": str(data),
        "recipe": TINY.described(),
        "device": "cpu",
        "start": str(place / "old.safetensors"),
    }
    described |= {"pictures": {"train": 32, "validation": 16, "digest": "0"}, "val_split": 0}
    files = {"args.json": described, "finished.json": outcome, "env.json": {"processor": "a <fast> one", "cores": 3}}
    for name, value in files.items():
        (path / name).write_text(json.dumps(value))
    (path / "results.csv").write_text(RESULTS)
    (path / "classes.txt").write_text("\n".join(NAMES.values()))
    return Run(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Make the set, with file names that are HTML, and the run; plots, which take a second, are drawn in one test."""
    place = tmp_path_factory.mktemp("private")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUALEX_CACHE", str(place / "cache"))
        patch.setattr(charts, "plot", lambda draw, label: '<picture class="plot"></picture>')
        patch.setattr(report, "REPEAT", 1)
        data = fill(place / "photos", {NAMES[name]: shown for name, shown in SHOWN.items()})
        for file in list(data.rglob("*.png")):
            file.rename(file.with_name(f"<img src=x onerror=alert(1)> {file.name}"))
        finished(place, data)
        yield place


@pytest.fixture
def run(place):
    return Run(place / "runs" / "train")


@pytest.fixture(scope="module")
def html(place):
    return sections.page(report.read(place / "runs" / "train", device="cpu"))


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def section(html, name):
    (found,) = re.findall(rf'<section id="{name}">(.*?)</section>', html, re.S)
    return Page(found)


def test_nothing_is_from_outside_and_names_are_texts(page, html, place):
    assert page.faults == []
    assert str(place) not in html
    assert place.name not in html
    for name in NAMES.values():
        assert name in page.text
    assert "<img src=x onerror=alert(1)> " in page.text
    assert "a <fast> one" in page.text
    assert html.isprintable() or "\n" in html
    assert len(html) < 3e6


def test_all_sections_have_what_they_are_called(html, page):
    names = re.findall(r'<section id="(\w+)">', html)
    assert names == ["trained", "curves", "classes", "confusion", "filters", "mistakes", "profile", "reproduce"]
    assert [found["href"] for found in page.of("a")] == [f"#{name}" for name in names]
    assert 'class="missing"' not in html


def test_the_head_has_the_runs_accuracy_with_its_interval(page):
    low, high = (100 * bound for bound in confidence.interval(12, 16))
    assert f"75.0 % best validation top-1 95 % interval {low:.1f} to {high:.1f} %, 16 images" in page.text
    assert "48 images 32 train, 16 validation" in page.text
    assert "Too few images to tell it from guessing: 75.0 % of 16 validation images correct" in page.text


def test_the_recipe_is_beside_the_papers(html):
    found = section(html, "trained").text
    assert "Trained from the weights of old.safetensors." in found
    assert "batch size 8 128" in found
    assert "input size (crop), pixels 27 227" in found
    assert "differences from the paper's" in found


def test_classes_and_confusion_are_those_of_the_images(html):
    """The network's answers are known: rows true, columns named."""
    classes, confusion = section(html, "classes").text, section(html, "confusion")
    assert "Of 37 images 75.7 % are correct." in classes
    assert "<script>alert(1) 7 66.7 57.1 61.5" in classes
    cells = re.findall(r'<td class="(right|wrong)[^>]*>(\d*)</td>', html)
    assert cells == [
        *[("right", "4"), ("wrong", "3"), ("wrong", "")],
        *[("wrong", ""), ("right", "15"), ("wrong", "4")],
        *[("wrong", "2"), ("wrong", ""), ("right", "9")],
    ]
    assert f"{NAMES['red']} taken for {NAMES['blue']} 4 of 19" in confusion.text


def test_mistakes_are_the_most_confident_ones_with_heat_maps(html, place):
    found = section(html, "mistakes")
    assert "9 of 37 images are classified wrongly; the 9 most confident of them." in found.text
    assert len(found.of("img")) == 3 * 9  # the image, and again below its heat map
    shares = [float(share) for share in re.findall(r"([\d.]+) % is ", found.text)]
    assert len(shares) == 9
    assert shares == sorted(shares, reverse=True)
    assert found.text.count(f"{NAMES['blue']} ") >= 4


def test_the_profile_has_every_layer(html):
    found = section(html, "profile").text
    assert "One step of training, forward and backward with the update: 8 images in " in found
    for name in ("conv1", "pool1", "fc4", "softmax"):
        assert name in found
    shares = [int(share) for share in re.findall(r" ms (\d+) %", found)]
    assert sum(shares) == pytest.approx(100, abs=len(shares))


def test_how_to_reproduce_it_names_no_folder(html):
    found = section(html, "reproduce").text
    assert "cualex train photos --config train/args.json" in found
    assert "training time 3 min 05 s" in found
    assert "random seed 0" in found


def test_curves_leave_out_what_is_not_finite_and_mark_the_best(run):
    drawn = charts.training(run)
    lines = [found["points"].split() for found in Page(drawn).of("polyline")]
    assert [len(points) for points in lines] == [3, 2, 3]
    assert "best: 25.0 %, epoch 2" in drawn
    assert drawn.count('class="drop"') == 2
    heights = [float(point.split(",")[1]) for point in lines[0]]
    assert heights == sorted(heights)  # the loss falls


def test_a_run_of_one_epoch_and_one_of_none(tmp_path):
    (tmp_path / "classes.txt").write_text("a\nb\n")
    assert charts.training(Run(tmp_path)) == ""
    (tmp_path / "results.csv").write_text("\n".join(RESULTS.splitlines()[:2]) + "\n")
    drawn = Page(charts.training(Run(tmp_path)))
    assert drawn.faults == []
    assert len(drawn.of("circle")) == 4  # two losses, an error, and the ring
    (tmp_path / "results.csv").write_text("epoch,loss\n1,2\n")
    assert charts.training(Run(tmp_path)) == ""


@pytest.mark.parametrize(("top", "expected"), [(1.0, 0.2), (2.3, 0.5), (80, 20), (0.004, 0.001), (5000, 1000)])
def test_ticks_are_round_and_reach_the_top(top, expected):
    marks = charts.ticks(top)
    assert marks[1] == expected
    assert marks[-2] < top <= marks[-1]


def test_heat_is_opaque_where_it_counts():
    uri = charts.heat(np.array([[0.0, 0.5], [1.0, 0.25]]))
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        opaque = np.asarray(image)[..., 3]
    assert opaque[0, 0] == 0
    assert opaque[1, 0] == 225
    assert opaque[1, 1] < opaque[0, 1] < opaque[1, 0]


# --- what cannot be had


def test_weights_alone_say_what_they_lack(place, tmp_path):
    path = colour_network.saved(tmp_path / "alone.safetensors")
    found = report.read(path, device="cpu")
    html = sections.page(found)
    assert Page(html).faults == []
    for name in ("curves", "classes", "confusion", "mistakes", "reproduce"):
        assert 'class="missing"' in html.partition(f'<section id="{name}">')[2].partition("</section>")[0]
    assert "A weights file does not name its images" in section(html, "classes").text
    assert "Without the run that made these weights, its recipe is not known." in section(html, "trained").text
    assert section(html, "filters").of("img")
    assert report.target(path) == tmp_path / "alone-report.html"


def test_a_data_set_that_is_gone_leaves_the_other_sections(run, tmp_path):
    moved = finished(tmp_path, tmp_path / "gone" / "photos")
    html = sections.page(report.read(moved, device="cpu"))
    assert "The data set photos is gone, or has changed" in section(html, "classes").text
    assert str(tmp_path) not in html
    assert section(html, "curves").of("polyline")
    assert "75.0 % best validation top-1" in Page(html).text


def test_a_run_without_end_or_with_damaged_files_has_a_report(place, tmp_path):
    broken = finished(tmp_path, place / "photos")
    for name in ("finished.json", "env.json", "args.json"):
        (broken.path / name).write_text("{")
    (broken.path / "results.csv").unlink()
    found = Page(sections.page(report.read(broken, device="cpu")))
    assert found.faults == []
    assert "This run has no verdict" in found.text


def test_at_the_end_of_a_training_few_images_do(run, place, monkeypatch):
    from cualex.data import sources

    source = sources.find(place / "photos", val_split=0, classes=[NAMES[name] for name in colour_network.CLASSES])
    split = Packing().opened(source, ["train"], 32)["train"]
    monkeypatch.setattr(report, "QUICK", 10)
    found = report.quick(run, split, "val", "cpu", None)
    assert found.evaluation.count == 10
    html = sections.page(found)
    assert "Of 10 val images, of 37 drawn at random, " in section(html, "classes").text
    assert "One step of inference: 8 images in " in section(html, "profile").text


def test_a_report_that_fails_is_a_sentence(run, monkeypatch, real_report):
    monkeypatch.setattr(sections, "quick", lambda *given: (_ for _ in ()).throw(OSError("the disk is full")))
    assert real_report(run, None, "val", "cpu", None) == "The report was not written: the disk is full"
    assert not (run.path / "report.html").exists()


def test_many_classes_are_plotted_and_the_worst_are_first(monkeypatch):
    from types import SimpleNamespace

    from cualex.evaluation import Evaluation
    from cualex.page import measured

    names = tuple(f"class {number:02}" for number in range(30))
    labels = np.repeat(np.arange(30), 4).astype(np.int32)
    named = labels.copy()
    named[28:31] = 3  # of class 7, three images
    found = Evaluation(names, names * 4, labels, named, np.ones(120, np.float32), 120, 0.5)
    about = SimpleNamespace(evaluation=found, called="val", left_out=0, why="")
    drawn = measured.classes(about)
    assert Page(drawn).text.index("class 07") < Page(drawn).text.index("class 03") < Page(drawn).text.index("class 00")
    assert "10 more" in drawn
    assert measured.confusion(about).startswith('<ol class="pairs"><li>class 07 ')


@pytest.mark.slow
def test_plots_are_drawn_in_both_themes():
    from cualex import networks
    from cualex.plots import towers
    from cualex.plots.theme import THEMES

    lenet = networks.build("lenet5")
    found = Page(PLOT(lambda path, theme: towers.draw(lenet, path, theme), "a <plot>"))
    assert found.faults == []
    (light,), (dark,) = found.of("img", alt="a <plot>"), found.of("source", media="(prefers-color-scheme: dark)")
    for uri, theme in ((light["src"], "light"), (dark["srcset"], "dark")):
        assert THEMES[theme].ground in base64.b64decode(uri.partition(",")[2]).decode()


def test_neither_report_nor_notebook_needs_the_extra():
    """Of cualex.page they import, at whatever depth, only files that import neither starlette nor uvicorn."""
    seen, waiting = set(), ["sections", "notebook"]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        for node in ast.walk(ast.parse((ROOT / f"cualex/page/{name}.py").read_text())):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            named = [f"{module}.{alias.name}" for alias in node.names] if module else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [each for each in named if each.partition(".")[0] in ("starlette", "uvicorn")], name
            inner = {each.split(".")[2] for each in named if each.startswith("cualex.page.")}
            waiting += [each for each in inner if each not in seen]
    assert {"sections", "measured", "markup", "charts", "report", "notebook"} <= seen
