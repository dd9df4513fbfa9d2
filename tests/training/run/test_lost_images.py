"""A run goes on to its own bits when its set has lost nothing that it was trained or validated on."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import cualex
from cualex.data import image_kinds, sources
from cualex.errors import DataError
from tests.support import profiles
from tests.support.tiny_runs import left

pytestmark = [
    pytest.mark.usefixtures("speck"),
    pytest.mark.filterwarnings("ignore:.*images could not be read and were skipped:UserWarning"),
]

SMALL = {"network": "speck", "crop": 11, "batch_size": 8, "epochs": 3, "lr": 0.02, "keep": True}
BROKEN = "rare/0.png"


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Make two classes, a rare one of two images and a broken one, which divides these two, and test images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("cualex.plots.curves.draw", lambda run: (run.path / "curves.png").touch())
    rng = np.random.default_rng(0)
    names = [f"{name}/{number}.png" for name in ("red", "blue") for number in range(9)] + ["rare/1.png", "rare/2.png"]
    for name in [*(f"train/{name}" for name in names), "test/red/1.png", "test/blue/1.png", "extra/1.png"]:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    (tmp_path / "photos/train" / BROKEN).write_bytes(b"not an image")
    (tmp_path / "photos/train/blue/broken.png").write_bytes(b"not an image")
    return tmp_path / "photos"


def validated(**options):
    source = sources.survey("photos", val_split=0.3, **options).source
    return {image.name for image in source.splits["val"]}


def stopped(name, **options):
    training = cualex.train("photos", **SMALL, **options, name=name)
    for epoch in training:
        if epoch.epoch == 2:
            return training.directory
    raise AssertionError("it was not stopped")


@pytest.mark.slow
def test_what_was_never_trained_on_may_go(photos):
    whole = cualex.train("photos", **SMALL, val_split=0.3, seed=0, name="whole").run()
    run = stopped("lost", val_split=0.3, seed=0)
    (photos / "train" / BROKEN).unlink()
    shutil.rmtree(photos / "test")
    shutil.rmtree(photos / "extra")
    cualex.train(resume=run).run()
    assert left(run)["weights"] == left(whole)["weights"]
    assert "rare/0.png" in (run.path / "skipped.csv").read_text()  # the next to resume needs it


@pytest.mark.slow
def test_an_image_that_is_gone_divides_its_class_as_before(photos):
    """Of three names two are alike in their split; without the broken one they lie on one side, and one would move."""
    moved = 0
    for rare in range(15):
        for number, old in enumerate(sorted((photos / "train/rare").iterdir())):
            old.rename(photos / "train/rare" / f"{rare}-{number}.png")
        broken = next(path for path in (photos / "train/rare").iterdir() if path.read_bytes() == b"not an image")
        name = f"train/rare/{broken.name}"
        before = validated() - {name}
        data = broken.read_bytes()
        broken.unlink()
        moved += validated() != before
        assert validated(lost=[name]) == before
        broken.write_bytes(data)
    assert moved


@pytest.mark.slow
def test_an_image_that_was_trained_on_may_not_go(photos):
    run = stopped("lost")
    (photos / "train/red/1.png").unlink()
    with pytest.raises(DataError, match=r"^not the data set of this run: "):
        cualex.train(resume=run).run()


@pytest.mark.slow
def test_a_run_keeps_its_version_of_decoding(photos, monkeypatch):
    """As a run of cualex 0.1, whose args.json names none: what decodes otherwise today decodes as it did."""
    for image in (photos / "train/red").iterdir():
        Image.open(image).save(image, icc_profile=profiles.rgb(profiles.ADOBE_RGB, 2.2))
    with monkeypatch.context() as before:
        before.setattr(image_kinds, "DECODING", image_kinds.FIRST_DECODING)
        first = cualex.train("photos", **SMALL, name="first").run()
        run = stopped("stopped")
    arguments = json.loads((run.path / "args.json").read_text())
    assert arguments.pop("decoding") == image_kinds.FIRST_DECODING
    (run.path / "args.json").write_text(json.dumps(arguments))
    cualex.train(resume=run).run()
    assert left(run)["weights"] == left(first)["weights"]
    today = cualex.train("photos", **SMALL, name="today").run()
    assert today.arguments()["decoding"] == image_kinds.DECODING
    assert left(today)["weights"] != left(first)["weights"]


@pytest.mark.slow
def test_a_class_of_two_lines_has_one_in_the_list(photos):
    """A folder's name may hold a line break; classes.txt has a line a class."""
    (photos / "train/red").rename(photos / "train/re\nd")
    shutil.rmtree(photos / "test")
    run = cualex.train("photos", **SMALL, name="lines").run()
    assert (run.path / "classes.txt").read_text().splitlines() == ["blue", "rare", "re\\nd"]
