"""What a rendered Zulip message says about itself, without its words."""

from dataclasses import dataclass
from functools import cached_property

from selectolax.lexbor import LexborHTMLParser, LexborNode

_MENTION = "span.user-mention[data-user-id]"
_STREAM_LINK = "a.stream[data-stream-id], a.stream-topic[data-stream-id]"
_EVERYBODY = "*"


@dataclass(frozen=True)
class Mention:
    """One mention of a person.

    Args:
        user_id: As in ``data-user-id``.
        name: As written, without the ``@``.
        is_quote: Silent, or inside a quotation: nobody is addressed.
    """

    user_id: str
    name: str
    is_quote: bool


class Content:
    """The HTML of one message. https://zulip.com/api/message-formatting says how messages are rendered."""

    def __init__(self, html: str) -> None:
        self._tree = LexborHTMLParser(html)

    @property
    def characters(self) -> int:
        """Length of the text, without markup."""
        return len(self._tree.text().strip())

    @cached_property
    def mentions(self) -> tuple[Mention, ...]:
        """Every mention of a person, in order; one of everybody is none."""
        quoted = {node.mem_id for node in self._tree.css(f"blockquote {_MENTION}")}
        return tuple(
            _mention(node, node.mem_id in quoted)
            for node in self._tree.css(_MENTION)
            if node.attributes["data-user-id"] not in (_EVERYBODY, None)
        )

    @property
    def stream_links(self) -> tuple[str, ...]:
        """Ids of the streams that are linked to, each once."""
        found = (node.attributes["data-stream-id"] for node in self._tree.css(_STREAM_LINK))
        return tuple(dict.fromkeys(i for i in found if i))

    @property
    def code_blocks(self) -> int:
        """How many."""
        return len(self._tree.css("pre"))

    @property
    def quotes(self) -> int:
        """How many quotations, nested ones too."""
        return len(self._tree.css("blockquote"))

    @property
    def attachments(self) -> int:
        """Uploaded files and inline images; an image has one preview and one link, and counts once."""
        uploads = {node.attributes["href"] for node in self._tree.css('a[href*="/user_uploads/"]')}
        return len(uploads)

    @property
    def links(self) -> int:
        """Different addresses that are linked to, without streams and uploads."""
        plain = self._tree.css('a[href]:not(.stream):not(.stream-topic):not([href*="/user_uploads/"])')
        return len({node.attributes["href"] for node in plain})


def _mention(node: LexborNode, quoted: bool) -> Mention:
    silent = "silent" in (node.attributes.get("class") or "").split()
    return Mention(
        str(node.attributes["data-user-id"]), node.text().strip().removeprefix("@"), silent or quoted
    )
