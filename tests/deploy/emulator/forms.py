"""Forms in which the emulator's services and CloudFormation tell and take things."""

import random
from xml.sax.saxutils import escape


def new_id(prefix: str) -> str:
    """An id of the shape EC2 gives: a prefix and 17 hexadecimal digits."""
    return f"{prefix}-{random.getrandbits(68):017x}"


def boolean(value) -> bool:
    """A template's boolean, which may come as the text "true"."""
    return str(value).lower() == "true"


def xml(tag: str, content) -> str:
    """An element of XML: of a mapping its members, of anything else its text."""
    if isinstance(content, dict):
        text = "".join(xml(name, one) for name, value in content.items() for one in (value if isinstance(value, list) else [value]))
    else:
        text = escape(str(content).lower() if isinstance(content, bool) else str(content))
    return f"<{tag}>{text}</{tag}>"
