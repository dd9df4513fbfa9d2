"""What type checkers know of the Python API: checked by `mypy`, which fails where a type is another one."""

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import numpy as np
from PIL import Image

import cualex
from cualex.layers import LRN
from cualex.layers.calls import Result
from cualex.networks import alexnet


def networks() -> None:
    assert_type(cualex.networks(), list[str])
    found = cualex.summary("alexnet", classes=10)
    assert_type(found, cualex.Summary)
    assert_type(found.totals.parameters, int)
    assert_type([row.layer for row in found.rows], list[str])
    assert_type(alexnet(classes=10).crop, int)


def training() -> None:
    training = cualex.train("photos", epochs=5, lr=0.01, drop_epochs=[3], schedule="steps", weights=Path("x"))
    assert_type(training, cualex.Training)
    for record in training:
        assert_type(record, cualex.Epoch)
        assert_type(record.validation.top1_error, float)
    assert_type(iter(training), Iterator[cualex.Epoch])
    run = training.run()
    assert_type(run, cualex.Run)
    assert_type(cualex.load(run), cualex.Model)
    assert_type(cualex.evaluate(run), cualex.Evaluation)
    assert_type(cualex.evaluate([cualex.load(run), "cifar10"], Path("photos"), crops=10).top5_error, float)
    cualex.train(resume=run, on_update=lambda update: print(update.loss), on_notice=print)


def model(model: cualex.Model, image: Image.Image, pixels: np.ndarray) -> None:
    assert_type(model.predict("cat.jpg"), list[tuple[str, float]])
    assert_type(model.predict([image, image], top=1), list[list[tuple[str, float]]])
    assert_type(model.features(pixels), np.ndarray)
    assert_type(model.features(["cat.jpg", "dog.jpg"], "fc7"), np.ndarray)
    assert_type(model.maps(image, "conv1"), np.ndarray)
    assert_type(model.classes, list[str])
    assert_type(model.explain("cat.jpg", "cat", "grad-cam", layer="relu5").heat, np.ndarray)
    assert_type(model.strongest("conv5", 42, ["cat.jpg"])[0].box, tuple[int, int, int, int])
    assert_type(model.dream("conv4", 7, steps=8, seed=1).image, np.ndarray)
    assert_type(model.neighbours(image, ["cat.jpg", pixels], metric="l2")[0].distance, float)
    assert_type(model.embedding(["cat.jpg", "dog.jpg"]).points, np.ndarray)
    assert_type(LRN()(pixels), Result)
