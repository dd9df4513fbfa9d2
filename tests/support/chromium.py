"""What tests of the page ask of a tab."""

import shutil
import time

NEEDED = "needs Chromium and Playwright"
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def watch(tab, wrong, origin, allowed=()):
    """Note in `wrong` what a tab writes to its console, and what it asks of anyone but `origin` and itself."""

    def said(message):
        if message.type in ("error", "warning") and not any(word in message.text for word in allowed):
            wrong.append(message.text)

    def asked(request):
        if not request.url.startswith((origin, "blob:", "data:")):
            wrong.append(request.url)

    tab.on("console", said)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", asked)


def until(tab, function, argument=None, seconds=30):
    """Wait until a JavaScript function gives something true.

    Playwright's `wait_for_function` asks again inside the page, by an eval that the page's Content Security Policy
    refuses.
    """
    end = time.monotonic() + seconds
    while not tab.evaluate(function, argument):
        assert time.monotonic() < end, f"not true within {seconds} s: {function}"
        tab.wait_for_timeout(20)


def ready(tab):
    """Wait for an answer of the network."""
    tab.wait_for_selector("body[data-state=ready] #classes .bar")
    return tab


def verdict(tab):
    return tab.inner_text(".verdict"), tab.inner_text(".doubt")
