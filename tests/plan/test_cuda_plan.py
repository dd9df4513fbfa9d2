"""Whole training steps through the kernels in the emulator: every precision and placement, any order of streams."""

import itertools

import numpy as np
import pytest

from cualex.devices.cuda import CudaDevice
from cualex.devices.stored import control_words, from_bf16, to_bf16
from cualex.errors import OutOfMemory
from cualex.plan import buffers
from cualex.plan.graph import Replay
from tests.support import small_alexnet
from tests.support.small_alexnet import NEAR

BATCH = 3
PLACEMENTS = {
    "cuda:0": "late",
    "cuda:0,cuda:1": "random",
    "cuda:0,cuda:0": "late",
}  # and the order of streams


def parameters(runtime, device="cuda:0", precision="fp32", **settings):
    return small_alexnet.parameters(device, precision=precision, runtime=runtime, **settings)


def train(made, updates=3, **settings):
    """Train with another rate, seed and batch in every update; return the losses."""
    plan = small_alexnet.plan(made, **settings, batch=BATCH)
    rng, losses, network = np.random.default_rng(5), [], made.network
    for step in range(updates):
        plan.control.rate, plan.control.seed, plan.control.step = 1e-3 / (step + 1), 7 + step, step
        pictures = rng.integers(0, 256, (BATCH, network.stored, network.stored, 3), np.uint8)
        views = np.column_stack([rng.integers(0, 5, (BATCH, 2)), rng.integers(0, 2, BATCH)])
        colours = rng.normal(0, 20, (BATCH, 3)).astype(np.float32)
        plan.put(pictures, views, rng.integers(0, network.classes, BATCH), colours)
        plan.run()
        losses.append(plan.result.loss)
    return losses


@pytest.fixture(scope="module")
def alone(emulated):
    """Train on one GPU, without a graph, once a precision: what every other way must equal to the bit."""
    kept = {}

    def of(precision):
        if precision not in kept:
            made = parameters(emulated(), precision=precision)
            kept[precision] = train(made, graph=False), small_alexnet.digest(made)
        return kept[precision]

    return of


FAST = {("tf32", "cuda:0,cuda:1")}


@pytest.mark.parametrize(
    ("precision", "device"),
    [
        pytest.param(*one, marks=() if one in FAST else pytest.mark.slow)
        for one in itertools.product(["fp32", "tf32", "bf16"], PLACEMENTS)
    ],
)
def test_every_placement_order_and_graph_gives_the_same_bits(emulated, alone, precision, device):
    made = parameters(emulated(streams=PLACEMENTS[device], seed=3), device, precision)
    assert (train(made), small_alexnet.digest(made)) == alone(precision)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [1, pytest.param("descending", marks=pytest.mark.slow)])
def test_no_schedule_of_threads_and_blocks_changes_a_bit(emulated, alone, schedule):
    made = parameters(emulated(schedule=schedule), "cuda:0", "tf32")
    assert (train(made), small_alexnet.digest(made)) == alone("tf32")


@pytest.mark.slow
def test_the_plain_plan_gives_the_same_bits(emulated, alone):
    made = parameters(emulated())
    assert (train(made, fuse=False), small_alexnet.digest(made)) == alone("fp32")


def bf16(values):
    return from_bf16(to_bf16(values))


def host_like(precision, mode, **settings):
    """Run a plan of the host that rounds as the precision stores: weights, and every map after its step."""
    made = small_alexnet.parameters()
    if precision != "bf16":
        plan = small_alexnet.plan(made, mode, **settings, batch=BATCH)
        plan.run()
        return plan
    tensors = small_alexnet.tensors(made.network)
    made.load({name: bf16(each) if name.endswith("weight") else each for name, each in tensors.items()})
    plan = small_alexnet.plan(made, mode, fuse=False, **settings, batch=BATCH)

    def rounded(step):
        step.run()
        for operand in step.operands():
            if operand.buffer.array.dtype == np.float32 and not operand.buffer.name.endswith(("scale", "mean")):
                operand.array()[...] = bf16(operand.array())

    plan.run(rounded)
    return plan


@pytest.mark.parametrize("precision", NEAR)
def test_gradients_are_the_hosts(emulated, precision):
    plans = [small_alexnet.plan(parameters(emulated(), "cuda:0,cuda:1", precision), sink="keep", batch=BATCH)]
    plans.append(host_like(precision, "train", sink="keep"))
    plans[0].run()
    found, expected = (plan.gradients() for plan in plans)
    assert plans[0].result.loss == pytest.approx(plans[1].result.loss, rel=NEAR[precision])
    for name, gradient in expected.items():
        norm = np.linalg.norm(gradient)
        assert np.linalg.norm(found[name] - gradient) < NEAR[precision] * norm, name
        assert norm > 0, name


@pytest.mark.parametrize("precision", NEAR)
def test_every_layers_output_is_the_hosts(emulated, precision):
    ours = parameters(emulated(), precision=precision)
    names = tuple(ours.network.layers)
    plans = [
        small_alexnet.plan(ours, "infer", outputs=names, batch=BATCH),
        host_like(precision, "infer", outputs=names),
    ]
    plans[0].run()
    for name in names:
        found, expected = (plan.output(name) for plan in plans)
        assert np.linalg.norm(found - expected) < NEAR[precision] * np.linalg.norm(expected), name


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp32", marks=pytest.mark.slow)])
def test_momentum_is_keep_and_then_the_update(emulated, precision):
    from cualex.engine.cuda.update import Momentum, apply

    moved = parameters(emulated(), "cuda:0,cuda:1", precision)
    kept = parameters(emulated(), "cuda:0,cuda:1", precision)
    small_alexnet.train(moved, updates=2, batch=BATCH)
    plan = small_alexnet.plan(kept, sink="keep", batch=BATCH)
    for step in range(2):
        plan.control.step = step
        plan.run()
        for (name, place), gradient in plan._gradients.items():
            arrays = kept.arrays[name, place], kept.velocity(name, place)
            sink = Momentum(*arrays, plan.control, name.endswith("weight"), kept.copies.get((name, place)))
            apply(kept.devices[place], gradient, sink)
    assert small_alexnet.digest(moved) == small_alexnet.digest(kept)


@pytest.mark.slow
@pytest.mark.parametrize(
    "device",
    ["cuda:0,cuda:1", *(pytest.param(each, marks=pytest.mark.slow) for each in ("cuda:0", "cuda:0,cuda:0"))],
)
def test_a_loss_that_is_no_number_leaves_the_weights_alone_on_every_gpu(emulated, device):
    made = parameters(emulated(streams="random"), device)
    plan = small_alexnet.plan(made, batch=BATCH)
    before = small_alexnet.digest(made)
    mean = np.zeros((made.network.stored, made.network.stored, 3), np.float32)
    plan.put_mean(np.full_like(mean, np.nan))
    for _ in range(3):
        plan.run()
        assert not plan.result.finite
    assert small_alexnet.digest(made) == before
    plan.put_mean(mean)
    plan.run()
    assert plan.result.finite
    assert small_alexnet.digest(made) != before


@pytest.mark.slow
def test_links_are_counted_at_every_launch_of_a_graph(emulated):
    made, host = parameters(emulated(), "cuda:0,cuda:1"), small_alexnet.parameters("cpu,cpu")
    for each in (made, host):
        small_alexnet.train(each, updates=4, batch=BATCH)
    assert made.ledger.floats == host.ledger.floats
    assert set(made.ledger.floats) == {"conv3", "fc6", "fc7", "fc8"}


def test_a_steady_step_allocates_nothing(emulated):
    runtime = emulated()
    made = parameters(runtime, "cuda:0,cuda:1")
    plan = small_alexnet.plan(made, batch=BATCH)
    plan.run()
    runtime.allocate = None  # would fail
    plan.run()
    plan.run()
    assert plan.captured
    assert plan.result.finite


@pytest.mark.parametrize("device", ["cuda:0", pytest.param("cuda:0,cuda:1", marks=pytest.mark.slow)])
def test_inference_copies_to_a_gpu_once_a_step(emulated, device):
    """All inputs at once; the numbers of a step, which inference does not change, the first time alone."""
    runtime, copies = emulated(), []
    made = parameters(runtime, device)
    plan = small_alexnet.plan(made, "infer", batch=BATCH)
    for name in ("upload", "load", "gather"):
        call = getattr(runtime, name)
        copy = lambda stream, *given, name=name, call=call: copies.append(name) or call(stream, *given)  # noqa: E731
        setattr(runtime, name, copy)
    pictures = np.random.default_rng(5).integers(0, 256, (BATCH, made.network.stored, made.network.stored, 3), np.uint8)
    losses = []
    for step in range(4):
        copies.clear()
        plan.put(pictures if step % 2 else 255 - pictures, np.array([[1, 2, 0]] * BATCH), np.arange(BATCH))
        plan.run()
        losses.append(plan.result.loss)
        assert copies == ["gather"] * len(made.devices) + ["upload"] * len(made.devices) * (step == 0)
    assert losses[0] == losses[2] != losses[1] == losses[3]
    train(made, updates=1)  # which sends others: then they are sent again
    copies.clear()
    plan.run()
    assert copies == ["upload"] * len(made.devices)


@pytest.mark.slow
def test_what_was_queued_is_known_later(emulated):
    def plan(**options):
        made = small_alexnet.plan(parameters(emulated(**options)), batch=BATCH)
        made.control.rate = 1e-4
        return made

    late, eager = plan(streams="late"), plan()
    outcomes = [late.run() for _ in range(3)]
    losses = [outcome.result.loss for outcome in outcomes]
    assert losses == [eager.run().result.loss for _ in range(3)]
    assert len(set(losses)) == 3


def test_a_batch_that_does_not_fit_is_said_with_one_that_does(emulated):
    runtime = emulated()
    made = parameters(runtime)
    wanted = small_alexnet.plan(made, batch=16).bytes
    runtime.free = lambda device: wanted // 2
    with pytest.raises(
        OutOfMemory,
        match=r"batch size 16 needs \d\.\d\d MB on cuda:0, .*; about (7|8) would fit: "
        r"--accumulate (2|4), or --batch-size (7|8)",
    ):
        small_alexnet.plan(made, batch=16)
    small_alexnet.plan(made, batch=7)
    runtime.free = lambda device: 1000
    with pytest.raises(OutOfMemory, match="not even one image fits"):
        small_alexnet.plan(made, batch=16)


# Slots are chosen on the device, so that what loads one and what reads the other look like the same memory.
SLOTTED = {"crop.pictures", "crop.views", "crop.colours", "softmax.labels"}


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize(
    ("device", "graph"),
    [
        pytest.param(*one, marks=() if one == ("cuda:0,cuda:1", True) else pytest.mark.slow)
        for one in itertools.product(PLACEMENTS, (False, True))
    ],
)
def test_events_order_all_work_on_the_same_memory(emulated, device, graph):
    train(parameters(emulated(events=True, partly=SLOTTED), device), updates=2 + graph, graph=graph)


# --- planted faults


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("forgotten", [0, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 2))])
def test_a_forgotten_wait_is_noticed(emulated, alone, monkeypatch, forgotten):
    """Planted: a link does not wait for the maps or for the place of their copy, or the next step there for neither."""
    link = CudaDevice.link

    def careless(self, home, *rest, **numbers):
        waits, wait = [], self.runtime.wait

        def counted(stream, event):
            waits.append(event)
            if len(waits) != forgotten + 1:
                wait(stream, event)

        with monkeypatch.context() as patch:
            patch.setattr(self.runtime, "wait", counted)
            link(self, home, *rest, **numbers)
        assert len(waits) == 2
        if forgotten == 2:
            self.links.clear()

    monkeypatch.setattr(CudaDevice, "link", careless)
    found = set()
    for seed in range(2):
        made = parameters(emulated(streams="random", seed=seed), "cuda:0,cuda:1")
        found.add((tuple(train(made, graph=False)), small_alexnet.digest(made)))
    losses, digest = alone("fp32")
    assert found != {(tuple(losses), digest)}


@pytest.mark.slow
def test_a_missing_copy_is_noticed(emulated, alone, monkeypatch):
    """Planted: the link before fc7 copies nothing."""
    link = CudaDevice.link

    def careless(self, home, source, target, name, **numbers):
        if name != "fc7":
            link(self, home, source, target, name, **numbers)

    monkeypatch.setattr(CudaDevice, "link", careless)
    made = parameters(emulated(), "cuda:0,cuda:1")
    assert (train(made), small_alexnet.digest(made)) != alone("fp32")


@pytest.mark.slow
@pytest.mark.emulator
def test_a_buffer_reused_one_step_early_is_noticed(emulated, alone, monkeypatch):
    arrange = buffers.arrange

    def hasty(found):
        for buffer in found:
            buffer.last = max(buffer.first, buffer.last - 1)
        return arrange(found)

    monkeypatch.setattr(buffers, "arrange", hasty)
    made = parameters(emulated())
    with np.errstate(all="ignore"):
        assert (train(made), small_alexnet.digest(made)) != alone("fp32")


@pytest.mark.slow
@pytest.mark.emulator
def test_numbers_baked_into_a_graph_are_noticed(emulated, alone, monkeypatch):
    """Planted: rate, seed, step and slot are handed over once, inside of the graph."""
    begin, steps = CudaDevice.begin, Replay._run_steps

    def baked(self):
        for device in self.devices:
            device.upload(device.control, words[-1])
        steps(self)

    words = []

    def noted(self, control, training):
        words.append(control_words(control))
        begin(self, control, training)

    monkeypatch.setattr(CudaDevice, "begin", noted)
    monkeypatch.setattr(Replay, "_run_steps", baked)
    made = parameters(emulated())
    assert (train(made), small_alexnet.digest(made)) != alone("fp32")
    made = parameters(emulated())
    assert (train(made, graph=False), small_alexnet.digest(made)) == alone("fp32")


@pytest.mark.emulator
def test_a_touch_of_the_other_gpus_memory_is_noticed(emulated, monkeypatch):
    """Planted: a step gets the other GPU's array, without a link."""
    from cualex.layers.maps import Operand
    from tests.emulator import EmulationError

    made = parameters(emulated(), "cuda:0,cuda:1")
    resolve = Operand.resolve
    monkeypatch.setattr(Operand, "resolve", lambda self, place: self.array())
    plan = small_alexnet.plan(made, graph=False, batch=BATCH)
    monkeypatch.setattr(Operand, "resolve", resolve)
    relu = next(step for step in plan.steps if step.name == "conv5+relu5" and step.place == 0)
    other = next(step for step in plan.steps if step.name == "conv5+relu5" and step.place == 1)
    arguments = {**relu.arrays(), "y": other.writes["y"].array()}
    run, _ = made.devices[0].prepare(lambda: made.engine.conv.forward(made.devices[0], **arguments, **relu.numbers))
    with pytest.raises(EmulationError, match=r"touches byte \d+ of y.* memory of device 1 while device 0 runs"):
        run()
