"""Reads a report as a browser would and finds whatever could run, load or leak."""

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input", "base", "wbr", "source"}
FORBIDDEN = {
    *"""
    script iframe object embed form base link img audio video foreignobject use animate set image input
    button template noscript
""".split()
}
LOADING = {
    *"""
    src srcset srcdoc action formaction data poster background xlink:href ping style
""".split()
}

ATTACKS = [
    "<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '" onfocus=alert(1) autofocus x="',
    "<svg onload=alert(1)>",
    "</text></svg><iframe srcdoc='<script>alert(1)</script>'>",
    "javascript:alert(1)",
    '<a href="javascript:alert(1)">x</a>',
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example>",
    "--><script>alert(1)</script><!--",
    "]]><script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<img srcset='//evil.example/a 1x'>",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "\x00<scr\x00ipt>\ud800\x1b[31m",
]


class Page(HTMLParser):
    """What stands in a page: its text, tags, links, and every finding against it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.findings: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.classes: list[str] = []
        self.shapes: list[tuple[str, dict[str, str]]] = []
        self.policy = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        if self._open:
            self.findings.append(f"never closed: {self._open}")

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        if tag in FORBIDDEN and not (tag == "img" and _is_inline(dict(attrs))):
            self.findings.append(f"<{tag}>")
        for name, value in attrs:
            if tag != "img" or name != "src":  # it is inline, or a finding already
                self._attribute(tag, name, value or "")
        values = dict(attrs)
        self.shapes.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "meta" and values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"] or ""
        elif tag == "meta" and "http-equiv" in values:
            self.findings.append(f"<meta http-equiv={values['http-equiv']}>")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.findings.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            if "url(" in data or "@import" in data or "<" in data:
                self.findings.append("the style sheet loads something")
            return
        if data.strip():
            self.texts.append(data)
            if self._open and self._open[-1] in ("h1", "h2", "h3"):
                self.headings.append(data)

    def handle_comment(self, data: str) -> None:
        self.findings.append(f"comment {data[:20]}")

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if name.startswith("on") or name in LOADING:
            self.findings.append(f"<{tag} {name}>")
        if name == "class":
            self.classes += value.split()
        if name == "href":
            self.links.append(value)
            if re.match(r"[a-z][a-z0-9+.-]*:|[/\\]{2}", re.sub(r"[\x00-\x20]", "", value.lower())):
                self.findings.append(f"link to {value}")


def _is_inline(attributes: dict[str, str | None]) -> bool:
    """Whether an image is a PNG that the page itself holds."""
    return re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/=]+", attributes.get("src") or "") is not None


def read(html: str, *, gaps: bool = False) -> Page:
    """The page; fails if anything in it could run, load or leak, or unless `gaps`, was not drawn."""
    page = Page(html)
    assert gaps or not [text for text in page.texts if "could not be drawn" in text]
    assert page.findings == []
    assert page.policy == "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    html.encode("utf-8")
    return page
