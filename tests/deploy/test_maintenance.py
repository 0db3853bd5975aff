"""The maintenance page asks for nothing outside itself, says what matters, comes back by itself, and looks like the gallery."""

import re
import unittest
from html.parser import HTMLParser

from cfnlint.decode import cfn_yaml

from ministack import ROOT, STACKS

PAGE = (ROOT / "deploy" / "maintenance" / "index.html").read_text()
LOOK = (ROOT / "static" / "gallery.css").read_text()
FRAME = (ROOT / "templates" / "frame.html").read_text()
# Attributes by which a page asks for something.
ASKING = {"src", "srcset", "href", "xlink:href", "action", "formaction", "poster", "data", "background", "ping", "manifest", "cite", "longdesc"}


class Page(HTMLParser):
    """Elements with their attributes, and the text that people read."""

    def __init__(self):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(PAGE)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"style", "title"} & set(self.open):
            self.words += data

    def meta(self, **wanted: str) -> list[str]:
        """The contents of the meta elements with these attributes."""
        return [
            attributes["content"] for tag, attributes in self.elements
            if tag == "meta" and all(attributes.get(name.replace("_", "-")) == value for name, value in wanted.items())
        ]


def tokens(css: str, dark: bool) -> dict[str, str]:
    """The colours that a style sheet sets for light or dark."""
    light, _, rest = css.partition("@media (prefers-color-scheme: dark)")
    block = re.search(r":root\s*{(.*?)}", rest if dark else light, re.DOTALL)[1]
    return dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]+)", block))


class Maintenance(unittest.TestCase):
    def setUp(self):
        self.page = Page()

    def test_nothing_is_asked_of_anybody(self):
        asked = [
            (tag, value) for tag, attributes in self.page.elements for name, value in attributes.items()
            if name in ASKING and value and not value.startswith("data:")
        ]
        self.assertEqual(asked, [])
        self.assertNotRegex(PAGE, r"(?i)url\(|@import|@font-face|image-set\(|<script|\son[a-z]+=")
        # The one address in it is a name that SVG has, and nobody's to ask.
        self.assertEqual(set(re.findall(r"(?:https?:)?//[a-z0-9.-]+", PAGE)), {"http://www.w3.org"})
        self.assertEqual({tag for tag, _ in self.page.elements} & {"script", "img", "iframe", "object", "form", "video"}, set())

    def test_it_comes_back_by_itself_and_at_a_press(self):
        self.assertEqual(self.page.meta(http_equiv="refresh"), ["30"])
        links = [attributes["href"] for tag, attributes in self.page.elements if tag == "a"]
        self.assertEqual(links, [""], "an empty address is that of the page itself")

    def test_its_policy_is_the_one_that_cloudfront_sends_with_it(self):
        [policy] = self.page.meta(http_equiv="content-security-policy")
        headers = cfn_yaml.load(str(STACKS / "edge.yaml"))["Resources"]["MaintenanceHeaders"]["Properties"]
        sent = headers["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]["ContentSecurityPolicy"]["ContentSecurityPolicy"]
        directives = [one.strip() for one in policy.split(";")]
        self.assertEqual(directives[:3], ["default-src 'none'", "style-src 'unsafe-inline'", "img-src data:"])
        # A page cannot say by itself who may frame it.
        self.assertEqual([one.strip() for one in sent.split(";")], [*directives, "frame-ancestors 'none'"])

    def test_it_says_in_plain_words_that_the_photos_are_safe(self):
        words = " ".join(self.page.words.split())
        self.assertIn("The gallery is being looked after", words)
        self.assertIn("Your photos are safe.", words)

    def test_its_colours_are_the_gallerys_in_light_and_dark(self):
        for dark in (False, True):
            own, gallery = tokens(PAGE, dark), tokens(LOOK, dark)
            self.assertGreaterEqual(own.keys(), {"paper", "well", "ink", "soft", "lamp", "on-ink"})
            self.assertEqual(own, {name: gallery[name] for name in own}, "dark" if dark else "light")

    def test_its_mark_is_the_gallerys(self):
        [mark] = re.findall(r'<path d="([^"]+)"/>', FRAME[:FRAME.index("</svg>")])
        self.assertIn(f'<path d="{mark}"/>', PAGE)
        self.assertIn(f"d='{mark}'", PAGE)

    def test_it_can_be_read_by_all(self):
        attributes = dict(self.page.elements)
        self.assertEqual(attributes["html"], {"lang": "en"})
        self.assertEqual(self.page.meta(name="viewport"), ["width=device-width, initial-scale=1"])
        self.assertEqual(self.page.meta(name="color-scheme"), ["light dark"])
        drawings = [attributes for tag, attributes in self.page.elements if tag == "svg"]
        self.assertTrue(drawings and all(one.get("aria-hidden") == "true" for one in drawings))
        self.assertIn("prefers-reduced-motion: no-preference", PAGE)


if __name__ == "__main__":
    unittest.main()
