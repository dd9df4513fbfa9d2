"""The page's HTTP interface: its answers, and what it refuses."""

import asyncio
import io
import json
import math
import re
import struct
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="starlette is not installed: no test of the page's server")

from cualex.data import images
from cualex.page import answers, guard
from cualex.page import app as page_app
from cualex.page.answers import Page
from cualex.page.app import BYTES
from cualex.page.gallery import Example
from tests.support import asgi, page_networks


@pytest.fixture
def page():
    network = page_networks.seer().weights.network
    examples = [Example(f"example {seed}", images.encoded(page_networks.image(network, seed))) for seed in range(2)]
    return Page([page_networks.seer(), page_networks.seer()], examples)


OF_REPORTS = "report.css", "charts.css"  # which carry their styles inside


@pytest.fixture
def app(page):
    return page_app.app(page)


@pytest.fixture
def image(page):
    """Give the id of an image that the page holds."""
    return page.examples[0][1]


def test_the_page_and_its_files_are_served_with_headers_that_keep_them_to_themselves(app):
    html = asgi.get(app, "/")
    assert html.status == 200
    assert html.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    text = html.body.decode()
    assert not re.search(r"\bon\w+=|style=|<style|<script(?! type=\"module\" src=\")", text), (
        "the policy forbids what is inline"
    )
    named = re.findall(r'(?:href|src)="([\w.]+)"', text)
    assert {"style.css", "app.js"} <= set(named)
    loaded, waiting = set(), list(named)
    while waiting:
        name = waiting.pop()
        answer = asgi.get(app, f"/{name}")
        assert answer.status == 200, name
        loaded.add(name)
        source = answer.body.decode()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", source), f"{name} names another host"
        waiting += set(re.findall(r'from "\./(\w+\.js)"', source)) - loaded
    static = page_app.resources.files("cualex.page").joinpath("static")
    assert loaded == {file.name for file in static.iterdir()} - {"index.html", *OF_REPORTS}, "a file that nothing loads"


@pytest.mark.parametrize(
    "path",
    ["/../app.py", "/..%2fapp.py", "/static/app.js", "//etc/passwd", "/.", "/app.py", "/api/images/../../app.py"],
)
def test_no_path_leads_out(app, path):
    answer = asgi.get(app, path)
    assert answer.status == 404
    assert "error" in answer.json


def test_networks_examples_and_maps(page, app, image):
    found = asgi.get(app, "/api/networks").json
    assert [each["name"] for each in found["examples"]][:2] == ["example 0", "example 1"]
    assert found["networks"][0]["files"]["conv1"][0] == "cualex/layers/conv.py"
    assert found["run"] is None
    answer = asgi.post(app, "/api/see", {"network": 1, "image": image, "layers": ["relu1", "fc8"], "off": ["norm"]})
    (length,) = struct.unpack("<I", answer.body[:4])
    head = json.loads(answer.body[4 : 4 + length])
    values = np.frombuffer(answer.body[4 + length :], "<f4")
    expected = page.seers[1].see(page.image(image)[0], ["relu1", "fc8"], ["norm"])
    assert (4 + length) % 4 == 0
    assert head["layers"] == [["relu1", *expected.layers["relu1"].shape], ["fc8", 5, 1, 1]]
    assert np.array_equal(values, np.concatenate([layer.ravel() for layer in expected.layers.values()]))
    assert head["passed"] == expected.passed


def test_names_filters_and_heat_maps(page, app, image):
    pixels = page.image(image)[0]
    question = {"image": image, "off": ["tower1"], "cover": [0, 0, 20]}
    found = asgi.post(app, "/api/name", question).json["probabilities"]
    assert found == page.seers[0].name(pixels, ["tower1"], (0, 0, 20)).tolist()
    weight, bias = page.seers[0].filter("conv3", 5)
    found = np.frombuffer(asgi.get(app, "/api/filter/0/conv3/5").body, "<f4")
    assert np.array_equal(found, np.concatenate([[bias], weight]).astype("<f4"))
    answer = asgi.post(app, "/api/heat", {"image": image, "class": 3})
    rows = [json.loads(line) for line in answer.body.splitlines()]
    assert answer.parts == len(rows) == 14  # row by row
    assert rows == list(page.seers[0].heat(pixels, 3))


def test_examples_that_excite_a_map_are_found_in_steps(app):
    found = [asgi.get(app, "/api/excites/0/conv5/1").json for _ in range(4)]
    assert [each["done"] for each in found] == [1, 2, 2, 2]
    assert found[-1] == found[-2]
    assert found[-1]["of"] == 2
    assert asgi.get(app, "/api/excites/0/conv5/9999").status == 404


def test_an_image_of_a_users_own_is_held_by_its_content(app):
    data = images.encoded(np.random.default_rng(7).integers(0, 256, (90, 120, 3), np.uint8))
    first, again = (asgi.post(app, "/api/images", data) for _ in range(2))
    assert first.status == 200
    assert first.json == again.json
    identity = first.json["id"]
    assert Image.open(io.BytesIO(asgi.get(app, f"/api/images/{identity}").body)).size == (76, 76)
    assert asgi.post(app, "/api/name", {"image": identity}).status == 200


def test_old_images_make_room(page, app, monkeypatch):
    monkeypatch.setattr(answers, "KEPT", 2)
    network = page.seers[0].weights.network
    kept = [page.keep(images.encoded(page_networks.image(network, seed))) for seed in (20, 21, 22)]
    answer = asgi.post(app, "/api/name", {"image": kept[0]})
    assert (answer.status, answer.json) == (404, {"error": "That image is no longer held: choose it again."})
    assert asgi.post(app, "/api/name", {"image": kept[2]}).status == 200


def huge_header():
    """Return a PNG file of 20,000 x 20,000 pixels, in a few bytes."""
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b""))
    )


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        (huge_header(), 422, "the image: more than 50 million pixels: scale it down"),
        (b"%PDF-1.7 not an image", 422, None),
        (b"", 422, "the image: the file is empty"),
        (b"\xff" * (BYTES + 1), 413, "Larger than 20 MB: send a smaller file."),
    ],
)
def test_files_that_are_no_images_are_refused_in_a_sentence(app, data, status, sentence):
    answer = asgi.post(app, "/api/images", data)
    assert answer.status == status
    assert answer.json["error"] == sentence if sentence else answer.json["error"].startswith("the image: ")


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/api/see", b"no json", 400),
        ("/api/see", b"[" * 60000, 400),
        ("/api/see", [1], 400),
        ("/api/see", {"layers": ["relu1"]}, 404),
        ("/api/see", {"image": 5, "layers": ["relu1"]}, 404),
        ("/api/see", {"image": "IMAGE", "layers": ["no such layer"]}, 400),
        ("/api/see", {"image": "IMAGE", "layers": [["relu1"]]}, 400),
        ("/api/see", {"image": "IMAGE", "layers": ["relu1"], "off": "tower1"}, 400),
        ("/api/name", {"image": "IMAGE", "off": ["no such part"]}, 400),
        ("/api/name", {"image": "IMAGE", "cover": [1, 2]}, 400),
        ("/api/name", {"image": "IMAGE", "cover": [1, 2, 1e9]}, 400),
        ("/api/name", {"image": "IMAGE", "cover": [1, 2, 10**9]}, 400),
        ("/api/name", {"image": "IMAGE", "network": 2}, 404),
        ("/api/heat", {"image": "IMAGE", "class": 5}, 400),
        ("/api/heat", {"image": "IMAGE"}, 400),
        ("/api/heat", {"image": "IMAGE", "class": 3, "method": "magic"}, 400),
        ("/api/name", b" " * 65000, 413),
    ],
)
def test_questions_that_make_no_sense_are_refused_in_a_sentence(app, image, path, sent, status):
    if isinstance(sent, dict) and sent.get("image") == "IMAGE":
        sent = {**sent, "image": image}
    answer = asgi.post(app, path, sent)
    assert answer.status == status, answer.body
    assert re.fullmatch(r".+\.?", answer.json["error"])


@pytest.mark.parametrize(
    "path",
    [
        "/api/filter/0/conv1/999",
        "/api/filter/0/pool1/0",
        "/api/filter/7/conv1/0",
        "/api/filter/0/conv1/x",
        "/api/nothing",
    ],
)
def test_what_does_not_exist_is_said_in_a_sentence(app, path):
    answer = asgi.get(app, path)
    assert answer.status in (400, 404)
    assert answer.json["error"]


# --- who may ask


@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        ("127.0.0.1:8227", {}, 200),
        ("localhost:8227", {}, 200),
        ("[::1]:8227", {}, 200),
        ("evil.example", {}, 421),
        ("localhost.evil.example:8227", {}, 421),
        ("192.168.1.7:8227", {}, 421),
        ("[", {}, 421),
        (None, {}, 421),
        ("127.0.0.1:8227", {"origin": "http://127.0.0.1:8227"}, 200),
        ("127.0.0.1:8227", {"origin": "http://127.0.0.1:9999"}, 403),
        ("127.0.0.1:8227", {"origin": "https://evil.example"}, 403),
        ("127.0.0.1:8227", {"origin": "null"}, 403),
        ("127.0.0.1:8227", {"sec-fetch-site": "cross-site"}, 403),
        ("127.0.0.1:8227", {"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_other_hosts_and_origins_are_refused(app, host, headers, status):
    for path in ("/", "/api/networks"):
        answer = asgi.get(app, path, host=host, headers=headers)
        assert answer.status == status
        assert "content-security-policy" in answer.headers
        assert "access-control-allow-origin" not in answer.headers


def test_beyond_this_machine_a_token_is_asked_for(page):
    app = page_app.app(page, "0.0.0.0", "secret")
    host = "192.168.1.7:8227"
    assert asgi.get(app, "/", host=host).status == 200
    assert asgi.get(app, "/api/networks", host="evil.example").status == 421
    refused = asgi.get(app, "/api/networks", host=host)
    assert refused.status == 401
    assert refused.json["error"].startswith("The token is missing")
    name = guard.cookie_name("secret")
    for cookie in (f"{name}=wrong", f"{name}=", f"{name}=sécret", "\x01=;;", "cualex=secret"):
        assert asgi.get(app, "/api/networks", host=host, headers={"cookie": cookie}).status == 401
    for wrong in ("", "Secret", 7, None, "sécret", "\ud800"):
        assert asgi.post(app, "/api/token", {"token": wrong}, host=host).status == 401
    entered = asgi.post(app, "/api/token", {"token": "secret"}, host=host)
    assert re.fullmatch(rf"{name}=secret; HttpOnly; Path=/; SameSite=strict", entered.headers["set-cookie"])
    assert asgi.get(app, "/api/networks", host=host, headers={"cookie": f"{name}=secret"}).status == 200
    for others in ("a[b]=1", "x=a b", "x=\xe4", "cualex-0123=other", ""):
        assert asgi.get(app, "/api/networks", host=host, headers={"cookie": f"{others}; {name}=secret"}).status == 200


# --- how much at once


def test_a_few_requests_wait_and_others_are_told_to_come_back(page, app, image, monkeypatch):
    held, name = threading.Event(), page.seers[0].name

    def slow(*arguments):
        held.wait(30)
        return name(*arguments)

    monkeypatch.setattr(page.seers[0], "name", slow)

    async def all_at_once():
        sent = json.dumps({"image": image}).encode()
        asking = [asyncio.create_task(asgi.ask(app, "POST", "/api/name", (sent,))) for _ in range(1000)]
        refused = 1000 - guard.WAITING - 1
        while sum(task.done() for task in asking) < refused:
            await asyncio.sleep(0)
        held.set()
        return await asyncio.gather(*asking)

    answers = asyncio.run(all_at_once())
    assert [answer.status for answer in answers].count(200) == guard.WAITING + 1
    refused = [answer for answer in answers if answer.status == 503]
    assert len(refused) == 1000 - guard.WAITING - 1
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].json == {"error": "Busy: 9 requests wait already. Try again in a second."}
    assert asgi.post(app, "/api/name", {"image": image}).status == 200  # the turns were given back


def test_two_heat_maps_are_made_at_once_and_one_that_nobody_waits_for_is_given_up(page, app, image, monkeypatch):
    rows = []

    def slow(*_):
        while True:
            rows.append(0)
            yield [0.0]

    monkeypatch.setattr(page.seers[0], "heat", slow)

    async def three():
        sent = json.dumps({"image": image, "class": 1}).encode()
        first, second = (asyncio.create_task(asgi.ask(app, "POST", "/api/heat", (sent,))) for _ in range(2))
        while len(rows) < 4:
            await asyncio.sleep(0.001)
        third = await asgi.ask(app, "POST", "/api/heat", (sent,))
        assert (third.status, third.json["error"][:5]) == (503, "Busy:")
        for task in (first, second):
            task.cancel()
        await asyncio.wait([first, second])
        monkeypatch.undo()
        return await asgi.ask(app, "POST", "/api/heat", (sent,))

    assert asyncio.run(three()).status == 200


def test_a_body_that_never_ends_gives_its_turn_back(page, app, monkeypatch):
    monkeypatch.setattr(guard, "SECONDS", 0.01)

    async def forever():
        await asyncio.sleep(3600)

    answer = asyncio.run(asgi.ask(app, "POST", "/api/images", (b"part", forever)))
    assert answer.status == 408
    assert page.queue.now == 0


def test_a_body_without_a_length_is_read_up_to_the_limit(app):
    parts = [b"\xff" * 1_000_000] * 60
    answer = asyncio.run(asgi.ask(app, "POST", "/api/images", parts))
    assert (answer.status, answer.json) == (413, {"error": "Larger than 20 MB: send a smaller file."})


def test_two_users_see_the_same_at_once(app, image):
    async def both():
        sent = json.dumps({"image": image, "layers": ["relu1"]}).encode()
        changed = json.dumps({"image": image, "layers": ["relu1"], "off": ["tower1"]}).encode()
        return await asyncio.gather(
            *(asgi.ask(app, "POST", "/api/see", (body,)) for body in (sent, changed, sent, changed))
        )

    first, second, third, fourth = asyncio.run(both())
    assert first.body == third.body
    assert second.body == fourth.body != first.body


def test_what_is_wrong_with_a_heat_map_is_said_before_it_begins(app, image):
    answer = asgi.post(app, "/api/heat", {"image": image, "class": 0, "off": ["nonsense"]})
    assert answer.status == 400
    assert "nonsense" in answer.json["error"]


def test_a_path_with_thousands_of_digits_is_not_found(app):
    assert asgi.get(app, f"/api/filter/0/conv1/{'9' * 5000}").status == 404


def refuse_constants(text):
    raise AssertionError(f"{text} is not JSON")


def test_a_network_that_has_diverged_is_answered_in_strict_json(page):
    """Browsers read no NaN and no Infinity: null stands for them, and what is broken is named."""
    page.seers[:] = [page_networks.diverged()]
    app, image = page_app.app(page), page.examples[0][1]

    def strict(body):
        return json.loads(body, parse_constant=refuse_constants)

    answer = asgi.post(app, "/api/see", {"image": image, "layers": ["relu1", "fc8"]})
    (length,) = struct.unpack("<I", answer.body[:4])
    head = strict(answer.body[4 : 4 + length])
    assert head["broken"] == "conv2"
    assert head["probabilities"] == [None] * 5
    assert None in head["passed"]["conv3"][0]
    assert strict(asgi.post(app, "/api/name", {"image": image}).body) == {"probabilities": [None] * 5}
    for method in page.seers[0].methods:
        refused = asgi.post(app, "/api/heat", {"image": image, "class": 3, "method": method})
        assert refused.status == 400
        assert re.fullmatch(rf"{method}: the (score|probability) of class 3 is nan, which .*", refused.json["error"])
    (one, *_) = strict(asgi.get(app, "/api/excites/0/conv2/0").body)["strongest"] or [{"value": None}]
    assert one["value"] is None
    seen = page.seers[0].see(page.image(image)[0], [])
    assert seen.broken == "conv2"
    assert page_networks.seer().see(page.image(image)[0], []).broken == ""


def test_curves_with_nan_are_strict_json(page):
    page.live = SimpleNamespace(stamp=0, loaded=0, curves=lambda: {"epochs": [{"epoch": 1, "loss": math.inf}]})
    body = asgi.get(page_app.app(page), "/api/run").body
    assert json.loads(body, parse_constant=refuse_constants)["run"]["epochs"] == [{"epoch": 1, "loss": None}]
