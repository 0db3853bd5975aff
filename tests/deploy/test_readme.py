"""deploy/README.md tells of every parameter of every stack: its table is made from the templates.

    tests/deploy/test_readme.py --write     writes the table anew
"""

import sys
import unittest

import templates
from ministack import ROOT

README = ROOT / "deploy" / "README.md"
BEGIN, END = "<!-- made by tests/deploy/test_readme.py --write -->\n", "<!-- end -->"
ORDER = ["network", "data", "migrate", "messaging", "web", "edge", "ops", "pipeline"]


def table() -> str:
    """A line for each parameter: its name, stacks, default, what it may be, and what the first of its stacks says of it."""
    loaded = templates.load()
    lines: dict[str, list] = {}
    for stack in ORDER:
        for name, parameter in loaded[stack].section("Parameters").items():
            lines.setdefault(name, [[], parameter])[0].append(stack)
    rows = ["| parameter | stacks | default | |", "|---|---|---|---|"]
    for name, (stacks, parameter) in lines.items():
        values = parameter.get("AllowedValues", [])
        choice = f" ({', '.join(map(str, values))})" if values and isinstance(values[0], str) else ""
        default = f"`{parameter['Default']}`" if parameter.get("Default", "") != "" else "" if "Default" in parameter else "*needed*"
        rows.append(f"| `{name}` | {', '.join(stacks)} | {default} | {' '.join(parameter['Description'].split())}{choice} |")
    return "\n".join(rows) + "\n"


def parts() -> tuple[str, str, str]:
    """The README before, in and after its table."""
    before, rest = README.read_text().split(BEGIN)
    inside, after = rest.split(END)
    return before, inside, after


class Readme(unittest.TestCase):
    """What the README says is so."""

    def test_the_table_of_parameters_is_what_templates_declare(self):
        self.assertEqual(parts()[1], table(), "tests/deploy/test_readme.py --write writes it anew")

    def test_every_stack_is_told_of(self):
        for stack in ORDER:
            self.assertIn(f"\n| `{stack}` | ", README.read_text())
        self.assertEqual(sorted(ORDER), sorted(templates.load()))


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        start, _inside, finish = parts()
        README.write_text(start + BEGIN + table() + END + finish)
    else:
        unittest.main()
