"""HTML as a browser reads it: tags that are closed, texts, and whatever would reach outside of the file or run."""

import re
from html.parser import HTMLParser

EMPTY = {"meta", "link", "img", "source", "br"}
UNCLOSED = {"html", "body"}


class Page(HTMLParser):
    """Reads a page; `faults` has tags that do not match, scripts, handlers, and references that are not in the file."""

    def __init__(self, html):
        super().__init__()
        self.faults, self.texts, self.tags, self._open = [], [], [], []
        self.feed(html)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self._open if tag not in UNCLOSED]
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "iframe", "object", "embed", "form", "base"):
            self.faults.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on"):
                self.faults.append(f"{tag} {name}")
            if name in ("src", "srcset", "href") and not re.match(r"data:|#", value):
                self.faults.append(f"{tag} {name}={value}")
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes another tag")

    def handle_data(self, data):
        if self._open and self._open[-1] == "style":
            self.faults += re.findall(r"url\([^)]*\)|@import.*|https?:", data)
        else:
            self.texts.append(data)

    def of(self, tag, **attributes):
        """Return the attributes of the tags of a kind that have these."""
        return [found for kind, found in self.tags if kind == tag and attributes.items() <= found.items()]
