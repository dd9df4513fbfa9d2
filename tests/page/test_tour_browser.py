"""A tour in Chromium, opened as a file with the network off: its numbers are cualex's, and it asks nobody."""

import pytest

from cualex import weights as weights_file
from cualex.data import images
from cualex.page import gallery, tour
from cualex.page.gallery import Example
from cualex.page.seeing import Seer
from cualex.pretrained import located
from tests.support import page_networks
from tests.support.chromium import ready, until, verdict, watch, widest

pytestmark = pytest.mark.slow
AGREEING = 0.002  # of probabilities: float32 sums in another order, and weights of 16 bits
COVER = 0.24  # side of the cover that the page begins with, at the centre


@pytest.fixture(scope="module")
def seer():
    return Seer(weights_file.load(located("cifar10")))


@pytest.fixture(scope="module")
def file(seer, tmp_path_factory):
    """A tour of the bundled network with three images."""
    return written(seer, gallery.found(())[:3], tmp_path_factory.mktemp("tour"))


def written(seer, examples, folder):
    path = folder / "a tour #1.html"  # as people name files
    path.write_text(tour.tour(seer, examples).text, encoding="utf-8")
    return path


@pytest.fixture
def opening(browser):
    opened, wrong = [], []

    def call(path, width=1440, place=""):
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
        tab = context.new_page()
        watch(tab, wrong, path.as_uri(), ("willReadFrequently",))  # said of how tests look at canvases
        opened.append(context)
        tab.goto(path.as_uri() + place)
        return ready(tab)

    yield call
    for context in opened:
        context.pages[0].wait_for_timeout(100)
        context.close()
    assert wrong == []


def said(tab):
    """Return the probabilities of all classes that have a bar, by class: the widths of the bars, of six digits."""
    ready(tab)
    return {
        int(number): float(width.rstrip("%")) / 100
        for number, width in tab.eval_on_selector_all(
            ".bar", "bars => bars.map(bar => [bar.dataset.class, bar.querySelector('.fill').style.width])"
        )
    }


def agree(tab, expected):
    found = said(tab)
    assert len(found) == min(10, len(expected))
    assert max(abs(found[number] - float(expected[number])) for number in found) <= AGREEING


def cover(crop):
    first = round(crop / 2 - COVER * crop / 2)
    return first, first, round(COVER * crop)


def check_agreement(tab, seer, image):
    """Compare the page with cualex: the image, a covered one, and each part off."""
    agree(tab, seer.name(image))
    tab.keyboard.press("o")
    tab.wait_for_selector("#caption:has-text('With this part covered')")
    agree(tab, seer.name(image, (), cover(seer.weights.network.crop)))
    tab.keyboard.press("o")
    tab.wait_for_selector("#caption:not(:has-text('With this part covered'))")
    for part in seer.description["parts"]:
        tab.click(f"[data-off={part}]")
        tab.wait_for_selector("#caption:has-text('Without')")
        agree(tab, seer.name(image, [part]))
        tab.click(f"[data-off={part}]")
        tab.wait_for_selector("#caption:not(:has-text('Without'))")


def test_the_bundled_network_says_what_cualex_says(opening, file, seer):
    tab = opening(file)
    for at, example in enumerate(gallery.found(())[:3]):
        tab.click(f"#samples button >> nth={at}")
        tab.wait_for_selector(f"#samples [title={example.name}][aria-pressed=true]")
        tab.wait_for_timeout(300)  # the answer before may be on show still
        check_agreement(tab, seer, images.load(example.data, seer.weights.network.stored, example.name))


@pytest.mark.parametrize("name", page_networks.SMALL)
def test_every_network_says_what_cualex_says(opening, tmp_path, name):
    seer = page_networks.seer(name)
    image = page_networks.image(seer.weights.network)
    made = tour.tour(seer, [Example("image", images.encoded(image))])
    assert made.computes
    tab = opening(written(seer, [Example("image", images.encoded(image))], tmp_path))
    check_agreement(tab, seer, image)


def test_every_layer_opens_and_its_arithmetic_adds_up(opening, file, seer):
    tab = opening(file)
    for block in seer.description["blocks"][:-1]:
        tab.click(f"[data-stage={block['name']}] >> nth=1")
        tab.wait_for_selector(f"#lens h2:text-is('{block['name']}')")
        for layer in block["layers"]:
            tab.click(f"#lens [data-keep='{layer}']")
            tab.wait_for_selector(f"#lens [data-keep='{layer}'][aria-pressed=true]")
            found = tab.inner_text("#lens .beside figcaption b >> nth=0")
            assert tab.query_selector("#lens .total .end:last-child dd, #lens .result").inner_text() == found, layer
        tab.wait_for_selector("#lens .exciting .quiet:has-text('of 3 examples')")
        tab.keyboard.press("Escape")
        tab.wait_for_selector("#lens", state="hidden")
    tab.click(".bar >> nth=2")
    tab.wait_for_selector("#lens h2:text-is('fc8')")
    assert tab.inner_text("#lens .total .end dd") == tab.inner_text("#lens .logits [aria-pressed=true] b")


def test_it_is_used_by_keys_and_a_place_can_be_linked_to(opening, file):
    tab = opening(file)
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Enter"):
        tab.keyboard.press(key)
    tab.wait_for_selector("#lens h2:text-is('conv2')")
    assert "#relu2." in tab.url
    tab.keyboard.press("Escape")
    tab.wait_for_selector("#lens", state="hidden")
    before = said(tab)
    tab.keyboard.press("o")
    tab.focus("#frame")
    for _ in range(4):
        tab.keyboard.press("ArrowLeft")
    tab.wait_for_selector("#caption:has-text('With this part covered')")
    assert said(tab) != before
    linked = opening(file, place="#relu3.40")
    linked.wait_for_selector("#lens h2:text-is('conv3')")


def test_a_heat_map_is_computed_and_images_of_ones_own_are_read(opening, file, seer):
    tab = opening(file)
    tab.click("#heating")
    tab.wait_for_selector("#heat-key:has-text('covering takes up to')", timeout=120_000)
    tab.click("[data-method=grad-cam]")
    tab.wait_for_selector("#heat-key:has-text('where the maps of relu5, 3×3, speak for')")
    painted = "canvas => canvas.getContext('2d').getImageData(0, 0, 280, 280).data.some(Boolean)"
    until(tab, f"() => ({painted})(document.querySelector('#heat'))")
    tab.click(".bar >> nth=3")
    tab.wait_for_selector("#notice:has-text('This file has this heat map of the whole network and of bird alone.')")
    tab.click("#heating")
    before = verdict(tab)
    give = """([bytes, name, type]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name, {type}));
        dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
    }"""
    image = page_networks.image(seer.weights.network, 9)
    tab.evaluate(give, [list(images.encoded(image)), "mine.png", "image/png"])
    tab.wait_for_selector("#samples [title=mine][aria-pressed=true]")
    tab.wait_for_timeout(500)
    agree(tab, seer.name(image))  # of the stored size already: nothing is resized
    held = verdict(tab)
    assert held != before
    tab.evaluate(give, [[37, 80, 68, 70, 45], "report.pdf", "application/pdf"])
    tab.wait_for_selector("#notice:has-text('report.pdf is no image')")
    assert verdict(tab) == held


def test_a_file_without_the_network_shows_what_it_holds_and_says_what_it_lacks(opening, tmp_path, monkeypatch):
    monkeypatch.setattr(tour, "MOST", 1000)
    seer = page_networks.seer()
    drawn = [page_networks.image(seer.weights.network, seed) for seed in range(2)]
    path = written(seer, [Example(f"image {at}", images.encoded(each)) for at, each in enumerate(drawn)], tmp_path)
    tab = opening(path)
    agree(tab, seer.name(drawn[0]))
    assert "It holds answers for 2 images" in tab.inner_text("#kept")
    tab.wait_for_selector("#caption:has-text('Tower 1 alone would say')")
    assert not tab.is_visible("#covering")
    assert tab.locator("#what-if button").count() == 0
    tab.keyboard.press("o")
    tab.wait_for_selector("#notice:has-text('This file holds answers, not the network')")
    for name, words in (("conv1", "Σ w · x"), ("conv2", "This file holds answers"), ("fc6", "This file holds answers")):
        tab.click(f"[data-stage={name}] >> nth=0")
        tab.wait_for_selector(f"#lens h2:text-is('{name}')")
        tab.wait_for_selector(f"#lens .sum:has-text('{words}')")
        tab.keyboard.press("Escape")
        tab.wait_for_selector("#lens", state="hidden")
    tab.click(".bar >> nth=1")
    tab.wait_for_selector("#lens .sum:has-text('This file holds answers')")
    tab.keyboard.press("Escape")
    tab.click("#heating")
    tab.wait_for_selector("#heat-key:has-text('covering takes up to')")
    tab.click("[data-method=saliency]")
    tab.wait_for_selector("#heat-key:has-text('pixels that the score of')")
    tab.click("#compare")
    tab.wait_for_selector("#caption:has-text('A is')")


@pytest.mark.parametrize("width", [360, 1440])
def test_it_fits_every_width(opening, file, width):
    for place in ("", "#norm1.2", "#fc8.2"):
        assert widest(opening(file, width, place)) <= width, place
