"""What a Slack message's text says about itself, without its words.

https://api.slack.com/reference/surfaces/formatting: ``<@U…>`` is a mention, ``<#C…>`` a channel, ``<http…>``
a link, each perhaps with ``|label``; a line that starts with ``&gt;`` is quoted; ``` fences code.
"""

import re
from dataclasses import dataclass
from itertools import groupby

_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_USER = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
_CHANNEL = re.compile(r"<#([CG][A-Z0-9]+)(?:\|[^>]*)?>")
_LINK = re.compile(r"<(?:https?|mailto):[^>]*>")
_QUOTED = "&gt;"


@dataclass(frozen=True)
class Text:
    """Facts about one text.

    Args:
        characters: Length, markup included.
        code_blocks: Fenced ones.
        quotes: Runs of quoted lines.
        links: To addresses outside.
        mentions: Each (user, whether only quoted) once, in order.
        channels: The channels linked to, each once, in order.
    """

    characters: int
    code_blocks: int
    quotes: int
    links: int
    mentions: tuple[tuple[str, bool], ...]
    channels: tuple[str, ...]


def analyse(text: str) -> Text:
    """Read a text. What stands in a code block is neither a mention nor a link."""
    prose, code_blocks = _CODE.subn("", text)
    lines = [(line, line.startswith(_QUOTED)) for line in prose.split("\n")]
    mentions = [(user, quoted) for line, quoted in lines for user in _USER.findall(line)]
    return Text(
        characters=len(text),
        code_blocks=code_blocks,
        quotes=sum(quoted for quoted, _ in groupby(lines, key=lambda pair: pair[1])),
        links=len(_LINK.findall(prose)),
        mentions=tuple(dict.fromkeys(mentions)),
        channels=tuple(dict.fromkeys(_CHANNEL.findall(prose))),
    )
