"""The stacks' templates, parsed: CloudFormation's short forms become long ones, {"Ref": ...}, {"Fn::Sub": ...}, {"Fn::GetAtt": [...]}."""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from ministack import STACKS

NO_VALUE = {"Ref": "AWS::NoValue"}


class Loader(yaml.SafeLoader):
    """Reads YAML with CloudFormation's tags."""


def tagged(loader: Loader, tag: str, node: yaml.Node) -> dict:
    """The long form of a short one: !Sub is Fn::Sub."""
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


Loader.add_multi_constructor("!", tagged)


@dataclass
class Template:
    """A template as text and as what it says."""

    body: str
    parsed: dict

    def section(self, name: str) -> dict:
        """A section, empty where it is absent."""
        return self.parsed.get(name) or {}

    def resources(self, *types: str) -> Iterator[tuple[str, dict]]:
        """Logical id and properties of the resources of these types, of all without any."""
        for name, resource in self.section("Resources").items():
            if not types or resource["Type"] in types:
                yield name, resource.get("Properties") or {}


def load() -> dict[str, Template]:
    """All templates by the stack's name."""
    return {
        file.stem: Template(file.read_text(), yaml.load(file.read_text(), Loader)) for file in sorted(STACKS.glob("*.yaml"))
    }


def nodes(value) -> Iterator:
    """A value and all that is in it."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)


def choices(value) -> list:
    """What a value may be: both sides of Fn::If, without AWS::NoValue."""
    if isinstance(value, dict) and "Fn::If" in value:
        return [choice for side in value["Fn::If"][1:] for choice in choices(side)]
    return [] if value == NO_VALUE else [value]


def items(value) -> list:
    """The members of a list, of any side of Fn::If in it or around it; a single value is its own."""
    return [
        member for choice in choices(value) for element in (choice if isinstance(choice, list) else [choice])
        for member in choices(element)
    ]
