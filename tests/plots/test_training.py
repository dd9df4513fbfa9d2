"""What a training draws and writes for people: curves and samples. A drawing must hold what it shows."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cualex.plots import curves, samples
from cualex.plots.curves import drops
from cualex.training.run import Run


def dark(path):
    """Read a drawing and return which pixels are not white."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("L")) < 250


@pytest.mark.slow
def test_curves_are_drawn_from_the_results(tmp_path, real_curves):
    run = Run.create(tmp_path)
    log, drawn = run.log(), []
    for epoch, (loss, top1) in enumerate([(2.0, 0.1), (1.0, 0.5), (0.5, 0.8)], 1):
        log.append(
            {
                "epoch": epoch,
                "time_total": 1.0,
                "loss": loss,
                "val_loss": loss + 0.1,
                "top1": top1,
                "top5": 1.0,
                "rate": 0.01 / epoch,
                "time_images_per_s": 10.0,
            }
        )
        run.write_results(log)
        real_curves(run)
        drawn.append(dark(run.path / "curves.png"))
    assert drawn[0].mean() > 0.005
    assert not np.array_equal(drawn[1], drawn[2])
    assert {file.name for file in run.path.iterdir()} == {"log.jsonl", "results.csv", "curves.png", "run.lock"}


@pytest.mark.slow
def test_curves_show_the_five_likeliest_from_ten_classes_on(tmp_path, real_curves):
    run, drawn = Run.create(tmp_path), {}
    run.log().append(
        {
            "epoch": 1,
            "time_total": 1.0,
            "loss": 1.0,
            "val_loss": 1.0,
            "top1": 0.1,
            "top5": 0.9,
            "rate": 0.01,
            "time_images_per_s": 10.0,
        }
    )
    run.write_results(run.log())
    for classes in (2, 9, 10):
        (run.path / "classes.txt").write_text("".join(f"class {number}\n" for number in range(classes)))
        real_curves(run)
        drawn[classes] = dark(run.path / "curves.png")
    assert np.array_equal(drawn[2], drawn[9])
    assert not np.array_equal(drawn[9], drawn[10])


def test_samples_are_the_first_picture_of_each_class(tmp_path):
    pictures = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)

    def read(indices, out):
        out[:] = pictures[indices]

    pack = SimpleNamespace(size=2, labels=np.array([1, 0, 1, 0]), classes=("cat", "dog"), read=read)
    written = samples.write(pack, tmp_path / "samples")
    assert [path.name for path in written] == ["cat.png", "dog.png"]
    for path, index in zip(written, (1, 0), strict=True):
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image), pictures[index])


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([0.01, 0.01, 0.001, 0.001], [3]),
        ([0.01, 0.001, 0.001], [2]),
        ([0.01, 0.01, 0.001], [3]),
        ([0.01, 0.01, 0.001, 0.0001, 0.0001], [3, 4]),
        ([0.01, 0.0075, 0.0025, 0.0001], []),
        ([0.002, 0.004, 0.01, 0.0075, 0.0025], []),
        ([0.01], []),
    ],
    ids=["steps", "at once", "at the end", "twice", "cosine", "warm-up and cosine", "one epoch"],
)
def test_drops_are_marked_and_a_cosine_has_none(rates, expected):
    assert drops([{"epoch": epoch, "lr": rate} for epoch, rate in enumerate(rates, 1)]) == expected


def test_of_equal_epochs_the_one_whose_weights_are_kept_is_the_best(tmp_path):
    """In the plot as in `cualex runs compare` and finished.json; before the end it is the first."""
    run = Run.create(tmp_path)
    rows = [
        {"epoch": float(epoch), "metrics/accuracy_top1": top1, "metrics/accuracy_top5": 1.0}
        for epoch, top1 in enumerate((0.5, 0.75, 0.75, 0.75), 1)
    ]
    assert curves.best_epoch(run, rows) == 2
    outcome = {"best_epoch": 4, "top1": 0.75, "top5": 1.0}
    for text, best in ((json.dumps(outcome), 4), ("{", 2), ('{"best_epoch": 9, "top1": 1, "top5": 1}', 2)):
        (run.path / "finished.json").write_text(text)
        assert curves.best_epoch(run, rows) == best
