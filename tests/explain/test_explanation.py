"""Explanations of a class's score: against differences, loops and PyTorch, on both engines and in every placement."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cualex import networks
from cualex.errors import UsageError
from cualex.explain import explanation, grad_cam, gradients, occlusion
from cualex.explain.explanation import METHODS
from tests.support import seeing
from tests.support.small_alexnet import NEAR

OPTIONS = {"integrated-gradients": {"steps": 4}, "occlusion": {"patch": 60, "stride": 7}}  # few passes
SUMS = 1e-10  # of float64: 16 products in a row, of up to 2,304 terms each: 16 * 4 * 2^-53 * sqrt(2304), and some


@pytest.fixture(scope="module")
def model():
    return seeing.model()


@pytest.fixture(scope="module")
def image(model):
    return seeing.images(model.network, 1)[0]


def score(model, pixels, index):
    """Compute the score of a class of pixels (crop, crop, 3), real numbers."""
    return model._passes.output(pixels.transpose(2, 0, 1)[None], "fc8")[0, index, 0, 0]


def test_saliency_is_the_slope_of_the_score(model, image):
    """By the value of a colour of 255: the network's own scale is in it."""
    found = model.explain(image, "class 3")
    pixels, rng = found.image.astype(np.float64), np.random.default_rng(0)
    largest = float(np.abs(found.values).max())
    for _ in range(8):
        channel, row, column = (int(rng.integers(0, side)) for side in found.values.shape)
        ends = []
        for step in (1e-4, -1e-4):
            moved = pixels.copy()
            moved[row, column, channel] += step
            ends.append(score(model, moved, 3))
        slope = (ends[0] - ends[1]) / 2e-4
        assert float(found.values[channel, row, column]) == pytest.approx(slope, rel=1e-4, abs=1e-6 * largest)
    assert found.score == pytest.approx(score(model, pixels, 3))


def test_the_scale_of_a_network_is_in_its_gradients():
    net = networks.build("lenet5", crop=16, classes=3, width=0.5)
    assert net.scale == 1 / 64
    model = seeing.model(net=net)
    found = model.explain(seeing.images(net, 1)[0], 1)
    moved = found.image.astype(np.float64)
    moved[7, 9, 1] += 1e-3
    slope = model._passes.output(moved.transpose(2, 0, 1)[None], "fc5")[0, 1, 0, 0] - found.score
    assert float(found.values[1, 7, 9]) == pytest.approx(slope / 1e-3, rel=1e-3)


def test_integrated_gradients_are_complete(model, image):
    """What they miss is the sum's own error: less with more steps, and reported."""
    errors = []
    for steps in (2, 32):
        found = model.explain(image, 5, "integrated-gradients", steps=steps)
        difference = found.score - found.settings["baseline_score"]
        assert found.values.sum(dtype=np.float64) - difference == pytest.approx(found.settings["error"], abs=1e-4)
        errors.append(abs(found.settings["error"]))
    assert errors[1] < 0.1 * abs(difference)
    assert errors[1] < errors[0]
    mean = model._passes.mean.transpose(1, 2, 0)
    assert found.settings["baseline_score"] == pytest.approx(score(model, mean, 5))


def test_integrated_gradients_of_the_baseline_are_zero(model):
    values, settings = gradients.integrated_gradients(model._passes, model._passes.mean, 2, steps=2)
    assert not values.any()
    assert settings["error"] == 0


def test_occlusion_is_the_loop(model, image):
    found = model.explain(image, 4, "occlusion", patch=20, stride=15)
    mean, side = model._passes.mean.transpose(1, 2, 0), model.network.crop
    firsts = [0, 15, 30, 45, 47]
    assert found.settings["falls"].shape == (5, 5)
    total, count = np.zeros((side, side)), np.zeros((side, side))
    for i, row in enumerate(firsts):
        for j, column in enumerate(firsts):
            covered = found.image.astype(np.float64)
            covered[row : row + 20, column : column + 20] = mean[row : row + 20, column : column + 20]
            fall = found.score - score(model, covered, 4)
            assert found.settings["falls"][i, j] == pytest.approx(fall, abs=1e-9)
            total[row : row + 20, column : column + 20] += fall
            count[row : row + 20, column : column + 20] += 1
    assert count.min() == 1
    assert_allclose(found.values, total / count, rtol=1e-5, atol=1e-6)


def test_a_stride_beyond_the_patch_leaves_zeros(model, image):
    found = model.explain(image, 4, "occlusion", patch=10, stride=30)
    assert not found.values[10:30].any()
    assert found.values[:10, :10].any()


# --- against PyTorch


@pytest.fixture(scope="module")
def twin(model):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no second opinion on explanations")
    from tests.support.torch_network import Twin

    made = Twin(model.network).double().eval()
    made.load({name: each.astype(np.float64) for name, each in model.parameters.unload().items()})
    mean = torch.from_numpy(model._passes.mean)

    def forward(pixels, layers=None):
        x = model.network.scale * (pixels - mean)
        for name, layer in made.named_children():
            x = layer(x)
            if layers is not None:
                layers[name] = x
            if name == "fc8":
                return x
        return x

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more wait for each other where cores are busy
    yield torch, forward
    torch.set_num_threads(threads)


def near(found, expected):
    expected = expected.detach().numpy()
    assert np.linalg.norm(found - expected) <= SUMS * np.linalg.norm(expected)
    assert np.linalg.norm(expected) > 0


def test_saliency_is_pytorchs(model, image, twin):
    torch, forward = twin
    pixels = model._passes.crop(image[None])
    x = torch.from_numpy(pixels.astype(np.float64)).requires_grad_()
    forward(x)[0, 6].backward()
    near(gradients.saliency(model._passes, pixels[0], 6)[0], x.grad[0])


def test_guided_backpropagation_is_pytorchs(model, image, twin):
    torch, forward = twin
    pixels = model._passes.crop(image[None])
    x = torch.from_numpy(pixels.astype(np.float64)).requires_grad_()
    layers = {}

    class Guided(torch.autograd.Function):
        @staticmethod
        def forward(context, values):
            context.save_for_backward(values)
            return values.clamp(min=0)

        @staticmethod
        def backward(context, dy):
            (values,) = context.saved_tensors
            return dy * (values > 0) * (dy > 0)

    real = torch.nn.ReLU.forward
    torch.nn.ReLU.forward = lambda self, values: Guided.apply(values)
    try:
        forward(x, layers)[0, 6].backward()
    finally:
        torch.nn.ReLU.forward = real
    near(gradients.guided_backpropagation(model._passes, pixels[0], 6)[0], x.grad[0])


def test_grad_cam_is_pytorchs(model, image, twin):
    torch, forward = twin
    pixels, layers = model._passes.crop(image[None]), {}
    for layer, index in (("relu5", 6), ("conv3", 1)):
        x = torch.from_numpy(pixels.astype(np.float64)).requires_grad_()
        scores = forward(x, layers)
        (slope,) = torch.autograd.grad(scores[0, index], layers[layer])
        heat = torch.relu((slope.mean((2, 3), keepdim=True) * layers[layer]).sum(1, keepdim=True))
        wide = torch.nn.functional.interpolate(heat, size=67, mode="bilinear", align_corners=False)
        found, settings = grad_cam.grad_cam(model._passes, pixels[0], index, layer)
        near(settings["coarse"], heat[0, 0])
        near(found, wide[0, 0])


def test_integrated_gradients_are_pytorchs(model, image, twin):
    torch, forward = twin
    pixels = torch.from_numpy(model._passes.crop(image[None])[0].astype(np.float64))
    mean, total = torch.from_numpy(model._passes.mean), 0
    for k in range(5):
        x = (mean + (k + 0.5) / 5 * (pixels - mean))[None].requires_grad_()
        forward(x)[0, 2].backward()
        total = total + x.grad[0]
    near(gradients.integrated_gradients(model._passes, pixels.numpy(), 2, steps=5)[0], (pixels - mean) * total / 5)


# --- engines, placements, errors


@pytest.mark.parametrize("method", METHODS)
def test_placements_give_the_same_bits(image, method):
    options = OPTIONS.get(method, {})
    found = [seeing.model(device, "fp32").explain(image, 3, method, **options) for device in ("cpu", "cpu,cpu")]
    assert_array_equal(found[0].values, found[1].values)
    assert found[0].values.dtype == found[0].heat.dtype == np.float32
    assert found[0].heat.shape == (67, 67)


def test_the_heat_is_the_largest_colour_or_what_is_above_zero():
    def heat(values):
        return explanation.Explanation("m", "c", 0, 1.0, np.zeros((2, 2, 3), np.uint8), np.array(values), {}).heat

    colours = np.zeros((3, 2, 2), np.float32)
    colours[:, 0, 1], colours[:, 1, 1] = (1, -4, 2), (2, 1, 0)
    assert_array_equal(heat(colours), [[0, 1], [0, 0.5]])
    assert_array_equal(heat([[-3.0, 2], [1, 0]]), [[0, 1], [0.5, 0]])
    assert_array_equal(heat([[-3.0, -2], [-1, 0]]), np.zeros((2, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_gpus_give_the_hosts_explanations(emulated, image, method):
    options = OPTIONS.get(method, {})
    expected = seeing.model(precision="fp32").explain(image, 3, method, **options).values
    for device in ("cuda:0", "cuda:0,cuda:1"):
        found = seeing.model(device, "fp32", runtime=emulated()).explain(image, 3, method, **options).values
        assert np.linalg.norm(found - expected) < 10 * NEAR["fp32"] * np.linalg.norm(expected)


def test_without_a_class_the_likeliest_is_explained(model, image):
    ((name, _),) = model.predict(image, top=1)
    found = model.explain(image)
    assert (found.cls, found.method) == (name, "saliency")
    assert found.index == model.classes.index(name)
    side, first = model.network.crop, (model.network.stored - model.network.crop) // 2
    assert_array_equal(found.image, image[first : first + side, first : first + side])


@pytest.mark.parametrize(
    ("given", "name"),
    [("Grad-CAM", "grad-cam"), ("gradcam", "grad-cam"), ("guided", "guided-backpropagation"), ("occ", "occlusion")],
)
def test_the_beginning_of_a_method_is_enough(given, name):
    assert explanation.find(given) == name


def test_what_cannot_be_explained_is_said(model, image):
    with pytest.raises(UsageError, match=r"^method 'g': expected saliency, guided-backpropagation, grad-cam, "):
        model.explain(image, 3, "g")
    with pytest.raises(UsageError, match=r"^class 'cat': expected one of class 0, class 1, "):
        model.explain(image, "cat")
    with pytest.raises(UsageError, match=r"^class 10: expected an index from 0 to 9$"):
        model.explain(image, 10)
    with pytest.raises(UsageError, match=r"^explain: saliency\(\) has no keyword 'steps'; there are "):
        model.explain(image, 3, steps=3)
    with pytest.raises(UsageError, match=r"^steps must be 1 or more, got 0$"):
        model.explain(image, 3, "integrated", steps=0)
    with pytest.raises(UsageError, match=r"^patch must have 1 to 67 pixels a side, got 68$"):
        model.explain(image, 3, "occlusion", patch=68)
    with pytest.raises(UsageError, match=r"^stride must be 1 or more, got 0$"):
        model.explain(image, 3, "occlusion", stride=0)
    with pytest.raises(UsageError, match=r"^Grad-CAM needs a layer with maps; fc6 has one value a channel$"):
        model.explain(image, 3, "grad-cam", layer="fc6")
    with pytest.raises(UsageError, match=r"^alexnet has no layer 'conv9'"):
        model.explain(image, 3, "grad-cam", layer="conv9")
    with pytest.raises(UsageError, match="softmax is above fc8, where the backward pass starts"):
        model.explain(image, 3, "grad-cam", layer="softmax")
    with pytest.raises(UsageError, match=r"^steps must be a whole number, got 2\.5"):
        model.explain(image, 3, "integrated", steps=2.5)
    with pytest.raises(UsageError, match=r"^method must be one of saliency, .*, got None"):
        model.explain(image, 3, None)


def test_an_uncovered_patch_is_noticed(model, image, monkeypatch):
    """Planted: patches are covered one pixel too narrow."""
    right = model.explain(image, 4, "occlusion", patch=20, stride=15).values

    def narrow(image, mean, square):
        top, left, side = square
        image[top : top + side, left : left + side - 1] = mean[top : top + side, left : left + side - 1]

    monkeypatch.setattr(occlusion, "cover", narrow)
    assert np.abs(model.explain(image, 4, "occlusion", patch=20, stride=15).values - right).max() > 1e-6
