"""Running text, plain or in Markdown, to documents of sentences."""

import re
from html import unescape

from bertnp.data.sentences import split_sentences

SENTENCES_WITHOUT_HEADING = 100  # in a document of running text that no heading divides
SENTENCES_UNDER_HEADING = 5000
LONG_PARAGRAPH = 10_000  # characters after which its sentences are handed out though it goes on

HEADING = re.compile(r" {0,3}#{1,6}(\s|$)")
UNDERLINE = re.compile(r" {0,3}(=+|--+)\s*$")  # makes a heading of the line above,
NOT_AFTER_TITLES = tuple(".!?…,;:\"'”’")  # unless that ends so
WIKI_TITLE = re.compile(r" ?= ?[^\s=]([^=]*[^\s=])? ?= ?\r?\n?$")  # = Title =
CHAPTER = re.compile(  # CHAPTER IV, Part Two: The Journey; but not: Part one is over.
    r"(?i:(?:chapter|part|book|volume|stave|act|scene|letter) (?:[ivxlcdm]+|\d+|the \w+|one|two|three|four|five|six|"
    r"seven|eight|nine|ten|eleven|twelve))(?=\s*(?:$|[^\w\s])|\s+[^\Wa-z])"
)
LONGEST_TITLE = 80
LEFT_OUT = (
    re.compile(r"\s*([-*_~=])(\s*\1){2,}\s*$"),  # a rule: * * *
    re.compile(r"\s*(```|~~~)[\w+-]*\s*$"),  # the fence around code
    re.compile(r"\s*\|.*\|\s*$"),  # a row of a table
    re.compile(r" ?(= ?)+[^\s=]([^=]*[^\s=])? ?(= ?)+\r?\n?$"),  # = = Section = =
)
LINK_TARGET = re.compile(r" {0,3}\[[^\]]+\]:\s*\S+")
QUOTE_MARKS = re.compile(r"(?:\s*>)* ?")
BULLET = re.compile(r"\s*[-*+•]\s+(?=\S)")
LIST_NUMBER = re.compile(r"\s*\d{1,3}[.)]\s+(?=\S)")

TAGS = (
    "a|abbr|b|big|blockquote|br|center|cite|code|dd|div|dl|dt|em|h[1-6]|hr|i|img|li|ol|p|pre|q|s|small|span|strike|strong|"
    "sub|sup|table|tbody|td|th|thead|tr|tt|u|ul"
)
TARGET = r"\((?:[^()\s]|\([^()\s]*\))*(?:\s[^()]*)?\)"  # of a link: (address "title"), the address with (...) perhaps
INLINE_MARKS = (  # (needs this character, what, becomes)
    ("!", re.compile(rf"!\[[^\[\]]*\]{TARGET}"), " "),  # an image
    ("[", re.compile(rf"\[([^\[\]]+)\](?:{TARGET}|\[[^\[\]]*\])"), r"\1"),  # a link
    ("[", re.compile(r"\[\^[^\[\]\s]+\]"), ""),  # a footnote's number
    ("<", re.compile(r"<(https?://[^<>\s]+)>"), r"\1"),
    ("<", re.compile(rf"</?(?:{TAGS})(?:\s[^<>]*)?/?>", re.IGNORECASE), " "),
    ("`", re.compile(r"(?<!`)(`+)(?!`)([^`]+)\1(?!`)"), r"\2"),
    ("*", re.compile(r"(?<![\s\\*])\*+|(?<![\\*])\*+(?=[^\s*])"), ""),  # emphasis: on one side at least not a space
    ("_", re.compile(r"(?<![\w\\])_+(?=[^\s_])|(?<=[^\s\\_])_+(?!\w)"), ""),  # not inside a word: snake_case
    ("~", re.compile(r"~~"), ""),
    ("\\", re.compile(r"\\(?:([!-/:-@\[-`{-~])|(?=\s|$))"), r"\1"),
    ("&", re.compile(r"&#?\w+;"), lambda match: unescape(match.group())),
    ("@", re.compile(r" @([-,.])@ "), r"\1"),  # WikiText's way of writing north-east and 1.5
)
SPACES = re.compile(r"\s\s+|[^\S ]")


def documents_of_prose(lines, file):
    """Yield the documents of a file of running text, each a list of sentences.

    lines: (number, text) of each line   file: what messages call it
    """
    document, limit = [], SENTENCES_WITHOUT_HEADING
    for sentences in _paragraphs(_without_comments(lines, file)):
        if sentences is None:
            limit = SENTENCES_UNDER_HEADING
        if document and (sentences is None or len(document) >= limit):
            yield document
            document = []
        document += sentences or ()
    if document:
        yield document


def _paragraphs(text_lines):
    """The sentences of each paragraph, and None where a new document begins."""
    lines, size = [], 0  # of the paragraph so far, and its characters
    in_list = False
    for line in text_lines:
        line = line[QUOTE_MARKS.match(line).end() :]
        underlines = len(lines) == 1 and UNDERLINE.match(line) and len(lines[0]) <= LONGEST_TITLE
        underlines = underlines and not lines[0].endswith(NOT_AFTER_TITLES)
        begins_document = underlines or HEADING.match(line) or WIKI_TITLE.match(line)
        left_out = begins_document or any(pattern.match(line) for pattern in LEFT_OUT)
        left_out = left_out or (not lines and LINK_TARGET.match(line))
        item = not left_out and (BULLET.match(line) or ((in_list or not lines) and LIST_NUMBER.match(line)))
        text = "" if left_out else line[item.end() if item else 0 :].strip()
        if item or not text:  # the paragraph before has ended
            if lines and not underlines:
                yield _sentences(lines)
            if begins_document:
                yield None
            lines, size, in_list = [], 0, bool(item)
        if text:
            lines.append(text)
            size += len(text)
        if size > LONG_PARAGRAPH:
            *sentences, last = _sentences(lines) or [""]
            if len(last) > LONG_PARAGRAPH:
                sentences, last = [*sentences, last], ""
            yield sentences
            lines, size = [last], len(last)
    if lines:
        yield _sentences(lines)


def _sentences(lines):
    """The sentences of a paragraph; None if it is the title of a chapter."""
    if len(lines) == 1 and len(lines[0]) <= LONGEST_TITLE and CHAPTER.match(lines[0]):
        return None
    return split_sentences(plain_text(join_lines(lines)))


def _without_comments(lines, file):
    """The text of the lines, without <!-- comments -->, which may go over several of them."""
    opened = None  # the line where the comment began that we are in
    for number, line in lines:
        if opened is None and "<!--" not in line:
            yield line
            continue
        kept, place = [], 0
        while place < len(line):
            if opened is None:
                begin = line.find("<!--", place)
                begin = len(line) if begin < 0 else begin
                kept.append(line[place:begin])
                if begin < len(line):
                    opened = number
                place = begin + 4
            else:
                end = line.find("-->", place)
                place = len(line) if end < 0 else end + 3
                opened = opened if end < 0 else None
        if "".join(kept).strip():
            yield " ".join(kept)
    if opened is not None:
        raise ValueError(f"{file}, line {opened}: the comment that begins here (<!--) does not end")


def join_lines(lines):
    """One text of lines: with a space between them, but none after a hyphen or between Chinese or Japanese letters."""
    parts = []
    for line in lines:
        if parts:
            last, first = parts[-1][-1:], line[:1]
            hyphen = last == "-" and parts[-1][-2:-1].isalpha()
            if not hyphen and not (_is_wide(last) and _is_wide(first)):
                parts.append(" ")
        parts.append(line)
    return "".join(parts)


def _is_wide(character):
    return "\u2e80" <= character <= "\ua4cf" or "\uf900" <= character <= "\uffef" or character >= "\U00020000"


def plain_text(text):
    """Text without Markdown's marks inside a line: emphasis, code, links, images, tags, escapes, entities."""
    for needs, pattern, becomes in INLINE_MARKS:
        if needs in text:
            text = pattern.sub(becomes, text)
    return SPACES.sub(" ", text).strip()
