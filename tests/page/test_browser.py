"""The page in a real browser: used by pointer and by keys, at several sizes, without an error or another host."""

import json
import re
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs Chromium, Playwright, starlette and uvicorn")
pytest.importorskip("uvicorn", reason="needs Chromium, Playwright, starlette and uvicorn")

import uvicorn

from cualex import weights as weights_file
from cualex.data import images
from cualex.page import app as page_app
from cualex.page import serving
from cualex.page.answers import Page
from cualex.page.gallery import Example
from cualex.page.live import Live
from cualex.page.seeing import Seer
from tests.support import page_networks, tiny_runs
from tests.support.chromium import ready, until, verdict, watch, widest

pytestmark = pytest.mark.slow


@contextmanager
def served(*seers, host="127.0.0.1", token="", live=None):
    """Serve networks, and give the address."""
    network = seers[0].weights.network
    examples = [Example(f"example {seed}", images.encoded(page_networks.image(network, seed))) for seed in range(3)]
    with serving.bound("127.0.0.1", 0) as listening:
        server = uvicorn.Server(serving.config(page_app.app(Page(list(seers), examples, live), host, token)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield serving.address(listening, "127.0.0.1")
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture(scope="module")
def address():
    with served(page_networks.seer(), Seer(page_networks.weights(seed=3))) as at:
        yield at


@pytest.fixture
def opening(browser):
    """Open the page; at the end no error was written, and no other host was asked."""
    opened, wrong = [], []

    def call(at, width=1440, height=900, allowed=()):
        tab = browser.new_page(viewport={"width": width, "height": height})
        origin = re.match(r"http://[^/]+/", at)[0]
        watch(tab, wrong, origin, allowed)
        opened.append(tab)
        tab.goto(at)
        return tab

    yield call
    for tab in (tab for tab in opened if not tab.is_closed()):
        tab.wait_for_timeout(100)
        tab.close()
    assert wrong == []


def test_every_layer_opens_and_its_arithmetic_adds_up(opening, address):
    tab = ready(opening(address))
    network = page_networks.seer().description
    for block in network["blocks"][:-1]:
        tab.click(f"[data-stage={block['name']}] >> nth=1")
        tab.wait_for_selector(f"#lens h2:text-is('{block['name']}')")
        for layer in block["layers"]:
            tab.click(f"#lens [data-keep='{layer}']")
            tab.wait_for_selector(f"#lens [data-keep='{layer}'][aria-pressed=true]")
            found = tab.inner_text("#lens .beside figcaption b >> nth=0")
            result = tab.query_selector("#lens .total .end:last-child dd, #lens .result")
            assert result.inner_text() == found, layer
            assert network["layers"][layer]["kind"] != "conv" or "cualex/engine/host/conv.py" in tab.inner_text(
                "#lens .files"
            )
        tab.wait_for_selector("#lens .exciting .quiet:has-text('of 3 examples')")
        tab.keyboard.press("Escape")
        tab.wait_for_selector("#lens", state="hidden")
    tab.click(".bar >> nth=2")
    tab.wait_for_selector("#lens h2:text-is('fc8')")
    assert tab.inner_text("#lens .total .end dd") == tab.inner_text("#lens .logits [aria-pressed=true] b")


def test_links_are_drawn_where_towers_read_and_nowhere_else(opening, address):
    tab = ready(opening(address))

    def crossing():
        return {
            int(at) for at in tab.eval_on_selector_all("#links .cross", "paths => paths.map(path => path.dataset.at)")
        }

    blocks = page_networks.seer().description["blocks"]
    assert {blocks[at]["name"] for at in crossing()} == {"conv3", "fc6", "fc7"}
    tab.click("[data-off=exchange]")
    tab.wait_for_selector("#links:not(:has(.cross))", state="attached")
    tab.click("[data-off=tower1]")
    tab.wait_for_selector("#links:not(:has(.tower1))", state="attached")
    assert tab.locator("#links .tower2").count() > 0
    assert "Without the exchange and tower 1" in tab.inner_text(
        "#caption"
    ) or "Without tower 1 and the exchange" in tab.inner_text("#caption")


def test_images_are_dropped_pasted_and_refused_with_a_sentence(opening, address):
    tab = ready(opening(address, allowed=("422", "413")))
    give = """([bytes, name, type, kind]) => {
        const data = new DataTransfer(), file = new File([new Uint8Array(bytes)], name, {type});
        data.items.add(file);
        if (kind === "drop") dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
        else dispatchEvent(new ClipboardEvent("paste", {clipboardData: data}));
    }"""
    image = list(images.encoded(page_networks.image(page_networks.seer().weights.network, 9)))
    before = verdict(tab)
    tab.evaluate(give, [image, "mine.png", "image/png", "drop"])
    tab.wait_for_selector("#samples [title=mine][aria-pressed=true]")
    tab.evaluate(give, [image, "again.png", "image/png", "paste"])
    tab.wait_for_selector("#samples [title=again][aria-pressed=true]")
    ready(tab)
    assert verdict(tab) != before
    held = verdict(tab)
    tab.evaluate(give, [[37, 80, 68, 70, 45], "report.pdf", "application/pdf", "drop"])
    tab.wait_for_selector("#notice:has-text('report.pdf: ')")
    assert verdict(tab) == held  # what was on show stays


def test_occlusion_changes_the_answer_and_a_heat_map_is_drawn_row_by_row(opening, address):
    tab = ready(opening(address, allowed=("willReadFrequently",)))  # said of the look at the canvas, below
    tab.click("#covering")
    box = tab.locator("#frame").bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    tab.wait_for_selector(".bar .tick:not([hidden])", state="attached")
    tab.wait_for_selector("#caption:has-text('With this part covered')")
    left = tab.locator("#cover").evaluate("cover => cover.style.left")
    tab.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.3)
    assert tab.locator("#cover").evaluate("cover => cover.style.left") != left
    tab.click("#covering")
    tab.click("#heating")
    tab.wait_for_selector("#heat-key:has-text('covering takes up to')")
    tab.click("[data-method=grad-cam]")
    tab.wait_for_selector("#heat-key:has-text('where the maps of relu5, 3×3, speak for')")
    tab.click("[data-method=saliency]")
    tab.wait_for_selector("#heat-key:has-text('pixels that the score of')")
    assert tab.locator("#methods [aria-pressed=true]").inner_text() == "Saliency"
    painted = "() => document.querySelector('#heat').getContext('2d').getImageData(0, 0, 280, 280).data.some(Boolean)"
    until(tab, painted)  # the caption comes first


def test_two_networks_are_compared(opening, address):
    tab = ready(opening(address))
    tab.click("#compare")
    tab.wait_for_selector("#caption:has-text('Network A says')")
    first = verdict(tab)
    tab.click("[data-show=b]")
    tab.wait_for_selector("[data-show=b][aria-pressed=true]")
    assert verdict(tab) != first
    tab.click("[data-show=difference]")
    tab.wait_for_selector("#caption:has-text('Green: stronger in A')")
    tab.click("#compare")
    tab.wait_for_selector("#showing", state="hidden")


def test_all_of_it_by_keys(opening, address):
    tab = ready(opening(address))
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        tab.keyboard.press(key)
    focused = tab.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith("conv2, tower 2: ")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#lens h2:text-is('conv2')")
    tab.wait_for_selector("#lens .board.tower2 .chosen", state="attached")
    tab.keyboard.press("ArrowRight")
    tab.wait_for_selector("#lens h2:text-is('conv3')")
    tab.focus("#lens [data-keep=board1]")
    for key in ("ArrowDown", "ArrowRight"):
        label = tab.get_attribute("#lens [data-keep=board1]", "aria-label")
        tab.keyboard.press(key)
        tab.wait_for_selector(f'#lens [data-keep=board1]:not([aria-label="{label}"])')
        assert tab.evaluate("document.activeElement.dataset.keep") == "board1"  # focus stays, though it is drawn anew
    tab.focus("#lens [data-keep=big]")
    at = tab.get_attribute("#lens [data-keep=big]", "aria-label")
    tab.keyboard.press("ArrowDown" if "row 0" in at else "ArrowUp")
    until(tab, "at => document.querySelector('[data-keep=big]').getAttribute('aria-label') !== at", at)
    tab.keyboard.press("Escape")
    tab.wait_for_selector("#lens", state="hidden")
    assert tab.evaluate("document.activeElement.dataset.stage") == "conv3"
    tab.keyboard.press("n")
    tab.wait_for_selector("[data-off=norm][aria-pressed=false]")
    tab.keyboard.press("n")
    tab.keyboard.press("o")
    tab.focus("#frame")
    before = tab.locator("#cover").evaluate("cover => cover.style.left")
    tab.keyboard.press("ArrowLeft")
    assert tab.locator("#cover").evaluate("cover => cover.style.left") != before
    tab.keyboard.press("o")
    tab.keyboard.press("?")
    tab.wait_for_selector("#help[open]")
    tab.keyboard.press("Escape")
    tab.wait_for_selector("#help[open]", state="hidden")
    assert (
        tab.eval_on_selector_all(
            "button", "all => all.filter(one => !(one.textContent.trim() || one.ariaLabel)).length"
        )
        == 0
    )


@pytest.mark.parametrize("width", [360, 700, 1000, 1440, 2560])
def test_it_fits_every_width(opening, address, width):
    tab = ready(opening(address, width, 800))
    for place in ("", "#relu1.1", "#pool2.3", "#norm1.2", "#relu6.4", "#fc8.2"):
        if place:
            tab.goto("about:blank")
            tab.goto(address + place)
            tab.wait_for_selector("#lens:not([hidden]) .panes")
        assert widest(tab) <= width, place


def test_two_users_at_once(opening, address):
    first, second = ready(opening(address)), ready(opening(address))
    whole = verdict(second)
    first.click("[data-off=tower1]")
    first.wait_for_selector("#caption:has-text('Without tower 1')")
    second.click("#samples button >> nth=1")
    second.click("#samples button >> nth=0")
    second.wait_for_selector("#samples button >> nth=0")
    ready(second)
    until(second, "whole => document.querySelector('.doubt').textContent === whole", whole[1])
    assert verdict(second) == whole


@pytest.mark.parametrize("name", [name for name in page_networks.SMALL if name != "alexnet"])
def test_every_network_is_drawn_and_opened(opening, name):
    with served(page_networks.seer(name)) as at:
        tab = ready(opening(at))
        for block in page_networks.seer(name).description["blocks"][:-1]:
            tab.click(f"[data-stage={block['name']}] >> nth=0")
            tab.wait_for_selector(f"#lens h2:text-is('{block['name']}')")
            for layer in block["layers"]:
                tab.click(f"#lens [data-keep='{layer}']")
                tab.wait_for_selector(f"#lens [data-keep='{layer}'][aria-pressed=true]")
                found = tab.inner_text("#lens .beside figcaption b >> nth=0")
                assert tab.query_selector("#lens .total .end:last-child dd, #lens .result").inner_text() == found, layer
            tab.keyboard.press("Escape")
            tab.wait_for_selector("#lens", state="hidden")


def test_a_thousand_classes_are_found_by_name(opening):
    with served(Seer(page_networks.weights("lenet5", classes=1000))) as at:
        tab = ready(opening(at))
        assert tab.locator(".bar").count() == 10
        tab.click(".bar >> nth=0")
        tab.fill("#lens input[type=search]", "class 77")
        assert tab.locator("#lens .logits button").all_inner_texts()[0].startswith("class 77")
        tab.click("#lens .logits button >> nth=0")
        tab.wait_for_selector("#lens h3:has-text('Why class 77')")


def test_a_token_opens_the_page_and_leaves_the_address(opening):
    with served(page_networks.seer("lenet5"), host="0.0.0.0", token="secret") as at:
        shut = opening(at, allowed=("401",))
        shut.wait_for_selector("#caption:has-text('The token is missing')")
        tab = ready(opening(f"{at}#token=secret"))
        assert tab.url == at


def test_a_run_is_followed_while_it_trains(opening, tmp_path):
    def epoch(number):
        """Write what a training writes at the end of an epoch: its weights and a line of the log."""
        weights_file.save(tmp_path / "last.safetensors", page_networks.weights("cifar-relu", seed=number))
        record = {"epoch": number, "loss": 2 / number, "val_loss": 2.5 / number, "top1": 0.1 * number}
        with (tmp_path / "log.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")

    (tmp_path / "args.json").write_text(json.dumps({"recipe": {"epochs": 4}}))
    epoch(1)
    live = Live(tmp_path)
    with served(Seer(live.weights()), live=live) as at:
        tab = ready(opening(at))
        tab.wait_for_selector("#about:has-text('training, epoch 1 of 4, top-1 10.0 %')")
        tab.wait_for_selector("#filters canvas >> nth=31")
        before = verdict(tab)
        epoch(2)
        tab.wait_for_selector("#about:has-text('epoch 2 of 4, top-1 20.0 %')")
        tab.wait_for_selector("#curves figcaption:has-text('validation loss 1.25')")
        ready(tab)
        assert verdict(tab) != before
        (tmp_path / "finished.json").write_text("{}")
        tab.wait_for_selector("#about:not(:has-text('training'))")
        tab.wait_for_timeout(100)
        tab.close()  # before the server ends, whom it would miss


def test_a_network_that_has_diverged_says_so_in_every_layer(opening):
    with served(page_networks.diverged()) as at:
        tab = ready(opening(at))
        assert verdict(tab) == ("no answer", "probabilities are NaN")
        tab.wait_for_selector(
            "#caption:has-text('From conv2 on, values are NaN or Inf, so no class has a probability.')"
        )
        tab.click("#heating")
        tab.wait_for_selector("#notice:has-text('There is no heat map: no class has a probability.')")
        for block in page_networks.diverged().description["blocks"][:-1]:
            tab.click(f"[data-stage={block['name']}] >> nth=0")
            tab.wait_for_selector(f"#lens h2:text-is('{block['name']}')")
            if block["name"] == "conv3":
                assert "NaN" in tab.inner_text("#lens .total")
                assert "one for the layer; red: NaN" in tab.inner_text("#lens .key")
            tab.keyboard.press("Escape")
            tab.wait_for_selector("#lens", state="hidden")
        tab.click(".bar >> nth=2")
        tab.wait_for_selector("#lens h2:text-is('fc8')")
        assert "NaN" in tab.inner_text("#lens .result")


@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_says_that_weights_are_random(opening, width):
    random = tiny_runs.small_model()
    made = weights_file.Weights(random.network, random.parameters.unload(), random.classes, random.mean)
    moved = {name: tensor + np.float32(0.01) for name, tensor in made.tensors.items()}
    with served(Seer(made)) as at:
        tab = ready(opening(at, width))
        assert tab.is_visible("#kept")
        assert tab.inner_text("#kept") == "Untrained: all weights are random."
    with served(Seer(replace(made, tensors=moved)), Seer(made)) as at:
        tab = ready(opening(at, width))
        assert tab.inner_text("#kept") == "Network B: Untrained: all weights are random."
    with served(Seer(replace(made, tensors=moved))) as at:
        assert not ready(opening(at, width)).is_visible("#kept")
