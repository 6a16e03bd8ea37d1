import tempfile
import unittest
from pathlib import Path

from pages.site import render, title_of, write_site


class SiteTest(unittest.TestCase):
    def test_title_is_the_first_heading(self):
        self.assertEqual(title_of("text\n# One\n# Two", "none"), "One")
        self.assertEqual(title_of("text", "none"), "none")

    def test_markdown_becomes_html(self):
        page = render("# A & B\n\nsome *words*", "file")
        self.assertIn("<title>A &amp; B</title>", page)
        self.assertIn("<em>words</em>", page)

    def test_a_site_has_an_index(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "first.md").write_text("# First page")
            written = list(write_site(Path(folder), Path(folder, "out")))
            self.assertEqual([page.name for page in written], ["first.html", "index.html"])
            self.assertIn('<a href="first.html">First page</a>', written[1].read_text())
