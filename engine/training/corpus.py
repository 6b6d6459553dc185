"""The training text: a folder of books in plain text, one paragraph a line, a blank line between."""

import pathlib
import re

VALIDATION = "lang-lilac-3454.txt"

# How a fairy tale opens, where a book gives its stories no headings of their own.
_OPENING = re.compile(
    r"(Once (up)?on a time|Once,? there (was|were|lived)|There (was|were|lived|reigned|dwelt) (once|formerly|a long)|"
    r"A long time ago|Long,? long ago|Long ago|Many years ago|Many,? many years ago|"
    r"In the (good )?old(en)? (days|times?)|In former (days|times))\b"
)

# The line under a tale that names its source, "(3) Ch. Marelles", "[From the Russian.]".
_SOURCE = re.compile(r"(\(\d+\) |\[From |From the ).{3,80}$")


def is_title(paragraph):
    """Whether a paragraph looks like a heading: short, no sentence, nearly all words capitalised."""
    if len(paragraph) > 80 or not paragraph[0].isalnum() or re.search(r"[,;:!?'\"-]$", paragraph):
        return False
    words = re.findall(r"[A-Za-z][\w'-]*", re.sub(r"\[.*?\]", "", paragraph))
    long_words = [word for word in words if len(word) > 3]
    if not long_words:
        return False
    if all(word.isupper() for word in words):
        return True
    return not paragraph.endswith(".") and sum(word[0].isupper() for word in long_words) >= 0.8 * len(long_words)


def split_stories(text):
    """Cuts a book into stories at its headings, or at the formulas with which tales open.

    A heading starts a story and belongs to it; a line that names the source ends one. A piece of a few lines only (a contents table,
    a heading under a heading) stays with what follows.
    """
    stories, current = [], []
    ended = False
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        starts = ended or is_title(paragraph) or _OPENING.match(paragraph)
        if starts and sum(map(len, current)) > 1500:
            stories.append("\n\n".join(current))
            current = []
        current.append(paragraph)
        ended = bool(_SOURCE.match(paragraph))
    stories.append("\n\n".join(current))
    return stories


def training_stories(folder):
    """{file name: [story, …]} of every book but the validation book."""
    books = sorted(path for path in pathlib.Path(folder).glob("*.txt") if path.name != VALIDATION)
    return {path.name: split_stories(path.read_text(encoding="utf-8")) for path in books}


def validation_text(folder):
    """The held-out book, as it is on disk."""
    return (pathlib.Path(folder) / VALIDATION).read_text(encoding="utf-8")
