"""`cualex explore`: what it refuses before it serves; the page itself is tested in tests/page."""

import builtins
import re
import sys
import threading

import pytest

from cualex import page
from tests.support import asgi, page_networks
from tests.support.colour_network import run


def test_without_the_extra_its_name_is_said(monkeypatch):
    importing = builtins.__import__

    def lacking(name, *more):
        if name == "uvicorn" or name.startswith("starlette"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return importing(name, *more)

    for name in [each for each in sys.modules if each.startswith("cualex.page.")]:  # as in a process that starts
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(page, name.rpartition(".")[2])
    monkeypatch.setattr(builtins, "__import__", lacking)
    result = run("explore", "cifar10")
    assert result.exit_code == 2
    assert re.search(r'(starlette|uvicorn)\S* is not installed: pip install "cualex\[page\]"', result.stderr)


def test_two_weights_files_are_one_too_many():
    result = run("explore", "one.safetensors", "-w", "two.safetensors")
    assert result.exit_code == 2
    assert (
        "two weights files, one.safetensors and two.safetensors: give one, and --against for the other" in result.stderr
    )


@pytest.fixture
def served(monkeypatch):
    """Serve nothing, and note what would have been served."""
    pytest.importorskip("starlette", reason="starlette is not installed: no test of the page's server")
    pytest.importorskip("uvicorn", reason="uvicorn is not installed: no test of the page's server")
    from cualex.page import serving

    seen = []
    monkeypatch.setattr(serving, "serve", lambda app, listening: seen.append((app, listening.getsockname())))
    monkeypatch.setattr("webbrowser.open", lambda address: seen.append(address))
    return seen


@pytest.fixture
def weights(tmp_path):
    from cualex import weights as weights_file

    weights_file.save(tmp_path / "lenet5.safetensors", page_networks.weights("lenet5"))
    return tmp_path / "lenet5.safetensors"


def test_this_machine_alone_needs_no_token(served, weights):
    result = run("explore", weights, "--port", "0")
    assert result.exit_code == 0, result.output
    address, (_, (host, port)) = served
    assert host == "127.0.0.1"
    assert result.stdout == f"{address}\n" == f"http://127.0.0.1:{port}/\n"


def test_beyond_this_machine_the_address_has_a_token_that_no_server_sees(served, weights):
    result = run("explore", "-w", weights, "--host", "0.0.0.0", "--port", "0", "--no-browser")
    assert result.exit_code == 0, result.output
    named, token = re.fullmatch(r"http://([^/]+:\d+)/#token=([\w-]{20,})\n", result.stdout).groups()
    ((app, _),) = served
    assert asgi.get(app, "/", host=named).status == 200  # the name in the address is one that it answers to
    assert asgi.get(app, "/api/networks", host=named).status == 401
    from cualex.page import guard

    entered = {"cookie": f"{guard.cookie_name(token)}={token}"}
    assert asgi.get(app, "/api/networks", host=named, headers=entered).status == 200


@pytest.mark.parametrize("token", ["", "a b", "€uro"])
def test_a_token_that_nobody_could_give_is_refused(weights, token):
    result = run("explore", "-w", weights, "--host", "0.0.0.0", "--token", token)
    assert result.exit_code == 2
    assert "--token takes letters, digits, - and _, one at least" in result.stderr


def test_images_that_are_not_there_are_one_line(served, weights, tmp_path):
    (tmp_path / "only" / "folders").mkdir(parents=True)
    for path, said in ((tmp_path / "none.jpg", "no such file or folder"), (tmp_path / "only", "holds no images")):
        result = run("explore", "-w", weights, "--images", path)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.endswith(f"Error: {path}: {said}\n")


def test_a_port_that_is_taken_is_said(served, weights):
    from cualex.page import serving

    with serving.bound("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        result = run("explore", weights, "--port", str(port))
        assert result.exit_code == 2
        assert re.search(
            rf"cannot listen at 127.0.0.1, port {port} \(.*\)\. Give another --host or --port\.", result.stderr
        )


def test_networks_that_differ_are_not_compared(served, weights):
    result = run("explore", weights, "--against", "cifar10")
    assert result.exit_code == 2
    assert "--against: alexnet has other layers than lenet5" in result.stderr


def test_it_answers_on_its_socket_until_it_is_told_to_stop(weights):
    """With uvicorn itself."""
    uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed: no test of the page's server")
    import urllib.request

    from cualex.page import answers, app, gallery, live, seeing, serving

    source = live.Live(weights)
    page = answers.Page([seeing.Seer(source.weights())], gallery.found(()), source)
    with serving.bound("127.0.0.1", 0) as listening:
        server = uvicorn.Server(serving.config(app.app(page)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            with urllib.request.urlopen(serving.address(listening, "127.0.0.1") + "api/networks", timeout=30) as answer:
                assert b'"network":"lenet5"' in answer.read()
                assert "server" not in answer.headers
        finally:
            server.should_exit = True
            thread.join(30)
