"""`cualex report` and the report that `cualex train` writes: where it is, what is said, what is refused."""

import numpy as np
import pytest
from PIL import Image

import cualex
from cualex.page import charts, report, sections
from tests.support import colour_network
from tests.support.colour_network import fill, run
from tests.support.html_pages import Page


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Work where there is a set, and draw no plots, which take a second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(charts, "plot", lambda draw, label: "")
    monkeypatch.setattr(report, "REPEAT", 1)
    fill(tmp_path / "photos")
    return tmp_path


def test_the_newest_run_has_its_report_in_its_directory(place):
    colour_network.finished(place / "runs", data=str(place / "photos"), val_split=0)
    result = run("report", "--device", "cpu")
    assert (result.exit_code, result.stdout) == (0, "runs/train/report.html\n")
    assert "Weights: runs/train/best.safetensors (newest finished run)." in result.stderr
    html = (place / "runs/train/report.html").read_text()
    assert Page(html).faults == []
    assert "Of 37 images 75.7 % are correct." in html


@pytest.mark.slow
def test_weights_have_theirs_beside_them_and_the_bundled_ones_here(place):
    path = colour_network.saved(place / "some" / "mine.safetensors")
    result = run("report", path, "--data", "photos", "--device", "cpu")
    assert result.stdout == f"{place / 'some' / 'mine-report.html'}\n"
    assert "75.7 %" in (place / "some" / "mine-report.html").read_text()
    result = run("report", path, "-o", "here.html", "--device", "cpu")
    assert (result.exit_code, result.stdout) == (0, "here.html\n")
    assert "Note: A weights file does not name its images: cualex report WEIGHTS FOLDER" in result.stderr
    assert str(report.target("cifar10")) == "report.html"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.safetensors", "-w", "b.safetensors"], "two weights files, a.safetensors and b.safetensors: give one."),
        (["mine.safetensors", "--data", "none"], "none: no such folder, .zip or .tar"),
        (["mine.safetensors", "-o", "no/where.html"], "its directory does not exist"),
        (["missing.safetensors"], "missing.safetensors: cannot be read"),
    ],
)
def test_what_is_refused_leaves_no_file(place, words, said):
    colour_network.saved(place / "mine.safetensors")
    before = sorted(place.rglob("*.html"))
    result = run("report", *words, "--device", "cpu")
    assert result.exit_code != 0
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1 or "Usage" in result.stderr
    assert sorted(place.rglob("*.html")) == before


def test_a_data_set_of_other_classes_is_refused_where_it_is_named(place):
    path = colour_network.saved(place / "mine.safetensors")
    fill(place / "others", {"cat": ["red"] * 3, "dog": ["blue"] * 3})
    result = run("report", path, "others", "--device", "cpu")
    assert result.exit_code != 0
    assert "classes" in result.stderr


# --- at the end of a training

WORDS = ("--network", "speck", "--crop", 11, "-b", 8, "--epochs", 2, "--lr", 0.02)


@pytest.fixture
def small(place):
    rng = np.random.default_rng(0)
    for number in range(18):
        folder = place / "few" / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 90, (20, 20, 3)) + 150 * np.eye(3, dtype=int)[number % 2]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return place


@pytest.mark.usefixtures("speck")
def test_train_writes_one(small, monkeypatch, real_report):
    monkeypatch.setattr(sections, "at_end", real_report)
    result = run("train", "few", *WORDS)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-1] == "Report: runs/train/report.html"
    found = Page((small / "runs/train/report.html").read_text())
    assert found.faults == []
    assert "One step of inference" in found.text


@pytest.mark.slow
@pytest.mark.usefixtures("speck")
def test_from_python_too_unless_told_not_to(small, monkeypatch, real_report):
    monkeypatch.setattr(sections, "at_end", real_report)
    result = run("train", "few", *WORDS, "--no-report", "--keep")
    assert result.exit_code == 0
    assert "Report" not in result.stderr
    assert not (small / "runs/train/report.html").exists()
    assert run("train", "--resume", "runs/train", "--epochs", 3).exit_code == 0  # which goes on without
    assert not (small / "runs/train/report.html").exists()
    made = cualex.train("few", network="speck", crop=11, batch_size=8, epochs=2, lr=0.02)
    assert (made.run().path / "report.html").exists()
    assert made.notices == [text for text in made.notices if "report" not in text]


@pytest.mark.usefixtures("speck")
def test_a_report_that_fails_does_not_fail_the_training(small, monkeypatch):
    monkeypatch.setattr(sections, "at_end", lambda *given: "The report was not written: no space")
    result = run("train", "few", *WORDS)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1] == "The report was not written: no space"
    made = cualex.train("few", network="speck", crop=11, batch_size=8, epochs=2, lr=0.02)
    made.run()
    assert made.notices[-1] == "The report was not written: no space"
