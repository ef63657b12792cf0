"""Corpora: which files, which documents, which sentences; and what is refused."""

import hashlib
import textwrap
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertnp.data import corpus_files, corpus_hash, guess_corpus_format, read_documents


@pytest.fixture
def write(tmp_path):
    """Write a file of text or bytes and return its path."""

    def write(content, name="corpus.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def prose(path):
    return list(read_documents(path, "prose"))


# ---- which files ----------------------------------------------------------------------------------------------------


def test_folders_give_their_text_files_in_an_order_that_every_machine_has(write, tmp_path):
    names = ["b/a.txt", "b.txt", "a.md", "README", "C.TXT", "b/c/d.markdown", ".h", ".git/x.txt", "x.png", "b-.text"]
    for name in names:
        write("Text.", "corpus/" + name)
    extra = write("More.", "more.xyz")
    found = [file.relative_to(tmp_path).as_posix() for file in corpus_files([tmp_path / "corpus", extra, extra])]
    inside = ["C.TXT", "README", "a.md", "b-.text", "b.txt", "b/a.txt", "b/c/d.markdown"]
    assert found == ["corpus/" + name for name in inside] + ["more.xyz", "more.xyz"]
    assert corpus_files(str(extra)) == [extra]


def test_paths_without_text_are_refused(tmp_path, write):
    with pytest.raises(FileNotFoundError, match="no file or folder .*nowhere"):
        corpus_files([tmp_path / "nowhere"])
    write("x", "pictures/x.png")
    with pytest.raises(ValueError, match="pictures: there are no text files in this folder"):
        read_documents(tmp_path / "pictures")
    with pytest.raises(ValueError, match="expected one file or folder"):
        corpus_files([])


# ---- one sentence a line --------------------------------------------------------------------------------------------


def test_lines(write):
    path = write("\ufeff  One. Two.\t\r\n\x85three\u3000\n \n\n\nFour\u2028five\nSix".encode())
    assert list(read_documents(path, "lines")) == [["One. Two.", "three"], ["Four\u2028five", "Six"]]


def test_a_file_ends_its_last_document(write):
    paths = [write("a\nb", "1.txt"), write("", "2.txt"), write("c\n", "3.txt")]
    assert list(read_documents(paths, "lines")) == [["a", "b"], ["c"]]


@pytest.mark.data
def test_lines_are_read_as_by_the_original_script(data_dir):
    path = data_dir / "sample_text" / "sample_text.txt"
    expected = [[]]
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            if line.strip():
                expected[-1].append(line.strip())
            else:
                expected.append([])
    assert guess_corpus_format(path) == "lines"
    assert list(read_documents(path)) == expected
    assert [len(document) for document in expected] == [3, 13, 15]


# ---- running text ---------------------------------------------------------------------------------------------------


def test_wrapped_lines_paragraphs_and_headings(write):
    text = (
        "# Title\r\n\r\nThe rain had\r\nceased. The well-\r\nknown town\r\nawoke.\r\n\r\nA new paragraph\r\n"
        "* * *\r\nafter a rule\r\n## Two\r\nSecond chapter. Yes.\r\n"
    )
    assert prose(write(text)) == [
        ["The rain had ceased.", "The well-known town awoke.", "A new paragraph", "after a rule"],
        ["Second chapter.", "Yes."],
    ]


@pytest.mark.parametrize(
    "heading",
    ["# B", "###### B ######", "B\n===", "B\n---", " = B = ", "CHAPTER IV", "Chapter 4: B", "PART THE SECOND\n"],
)
def test_headings_begin_documents_and_are_left_out(write, heading):
    assert prose(write(f"One.\n\n{heading}\n\nTwo.\n")) == [["One."], ["Two."]]
    assert prose(write(f"\ufeff{heading}\n\nTwo.\n")) == [["Two."]]


@pytest.mark.parametrize(
    "text",
    [
        "One.\n\nPart of it is told.\n\nTwo.",
        "One.\n\nChapter 4 is long, and it goes on for so many words that this line can hardly be a title of it.",
        "One.\n\n#hashtag and = this = too\n\nTwo.",
        "One.\n\n = = Section = = \n\n== Other ==\nTwo.",
        "One.\n***\nTwo.\n- - -\nThree.",
        "One.\n\nPart two is told.\n\nTwo.",
        "One is a sentence.\n---\nTwo.",
    ],
)
def test_what_begins_no_document_loses_nothing(write, text):
    (sentences,) = prose(write(text))
    assert sentences[0].startswith("One") and len(sentences) > 1


def test_a_list_may_follow_a_title_at_once(write):
    assert prose(write("One.\n\nCHAPTER II.\n- two\n- three\n\nPART THREE")) == [["One."], ["two", "three"]]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Some **bold**, *it*, _it_, __b__, ~~no~~ `code`.", ["Some bold, it, it, b, no code."]),
        ("**All of\nit.** _And_ *(this).*", ["All of it.", "And (this)."]),
        ("a snake_case_name, 2 * 3, \\*, a_b", ["a snake_case_name, 2 * 3, *, a_b"]),
        ('A [link](http://x.y/z_(a) "t"), [one][1]\\\nand ![img](a.png)[^2].', ["A link, one and ."]),
        ("[1]: http://x.y\n\nOne.", ["One."]),
        ("<http://a.b> R&amp;B AT&T &c. a<br/>b<i>c</i> <unk> &lt;3", ["http://a.b R&B AT&T &c. a b c <unk> <3"]),
        ("> quoted\n> text\n> > twice", ["quoted text twice"]),
        ("- one\n- two\n  and more. Three.\n\n1. four\n2. five", ["one", "two and more.", "Three.", "four", "five"]),
        ("It was\n1872. He went\n2. times", ["It was 1872.", "He went 2. times"]),
        ("| a | b |\n|---|---|\n| c | d |\n\nOne.", ["One."]),
        ("a <!-- b --> c <!-- d\n\ne\nf --> g.\n\n<!-- all\nof it -->\nh.", ["a c g.", "h."]),
        ("```python\nx = 1\n```", ["x = 1"]),
        ("north @-@ east , 1 @.@ 5 and 2 @,@ 000", ["north-east , 1.5 and 2,000"]),
        ("今日は\n雨です。明日も\nrain です。", ["今日は雨です。", "明日も rain です。"]),
        ("A\u00a0 b\tc  d", ["A b c d"]),
    ],
)
def test_marks_are_taken_out(write, text, sentences):
    assert prose(write(text)) == [sentences]


def test_a_comment_without_an_end_is_refused(write):
    path = write("a\nb <!-- c\nd\n")
    with pytest.raises(ValueError, match="corpus.txt, line 2: the comment that begins here"):
        prose(path)


def test_text_without_headings_is_cut_into_documents_at_paragraphs(write):
    documents = prose(write("Aa bb. Cc dd. Ee ff.\n\n" * 100))
    assert [len(document) for document in documents] == [102, 102, 96]
    documents = prose(write("# One\n\n" + "Aa bb. Cc dd. Ee ff.\n\n" * 100 + "# Two\n\nGg.\n"))
    assert [len(document) for document in documents] == [300, 1]


def test_a_paragraph_without_end_is_handed_out_bit_by_bit_and_cut_at_sentences(write):
    lines = textwrap.wrap(" ".join(f"Here stands sentence number {n} of many." for n in range(5000)), 70)
    documents = prose(write("\n".join(lines)))
    sentences = [sentence for document in documents for sentence in document]
    assert sentences == [f"Here stands sentence number {n} of many." for n in range(5000)]
    assert max(map(len, documents)) < 500


@settings(deadline=None)
@given(st.text(alphabet="aB.\n\r #=*_-`>[]()|<!&;\\~1", max_size=80))
def test_any_text_can_be_read(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(text.encode())
    for format in ("lines", "prose"):
        try:
            documents = list(read_documents(path, format))
        except ValueError as error:
            assert "no sentence" in str(error) or "<!--" in text
            continue
        assert documents and all(documents)
        assert all(sentence and sentence == sentence.strip() for document in documents for sentence in document)
        assert not any("\n" in sentence for document in documents for sentence in document)


@pytest.mark.data
def test_books_are_read_as_chapters_of_sentences(data_dir):
    documents = list(read_documents(data_dir / "books"))
    assert len(documents) == 751
    assert documents[0][0] == "Marley was dead: to begin with."
    sentences = [sentence for document in documents for sentence in document]
    words = [len(sentence.split()) for sentence in sentences]
    assert 2_050_000 < sum(words) < 2_150_000 and 17 < sum(words) / len(words) < 20
    assert sum("*" in sentence or "#" in sentence or "\\" in sentence for sentence in sentences) < 5
    ends = sum(sentence[-1] in ".!?\"')" for sentence in sentences)
    begins = sum(not sentence.lstrip("\"'([-—")[:1].islower() for sentence in sentences)
    assert ends > 0.98 * len(sentences) and begins > 0.98 * len(sentences)


@pytest.mark.data
def test_articles_of_wikipedia_are_documents(data_dir):
    documents = list(read_documents(data_dir / "wikitext2"))
    assert len(documents) == 60
    assert documents[0][1] == "It is closely related to the American lobster , H. americanus ."
    sentences = [sentence for document in documents for sentence in document]
    assert len(sentences) > 7500 and sum(sentence.endswith((" .", '. "')) for sentence in sentences) > 7500


# ---- which format ---------------------------------------------------------------------------------------------------

SENTENCES = [f"Sentence {n} is {'very ' * (n % 7)}long." for n in range(60)]


@pytest.mark.parametrize(
    ("text", "name", "format"),
    [
        ("\n".join(SENTENCES), "a.txt", "lines"),
        ("\n\n".join("\n".join(SENTENCES[n : n + 9]) for n in range(0, 60, 9)), "a.txt", "lines"),
        ("\n".join(SENTENCES).lower().replace(".", ""), "a.txt", "lines"),
        ("\n".join(SENTENCES), "a.md", "prose"),
        ("# Title\n" + "\n".join(SENTENCES), "a.txt", "prose"),
        (" = Title = \n" + "\n".join(SENTENCES), "a.txt", "prose"),
        ("\n\n".join(SENTENCES), "a.txt", "prose"),
        (textwrap.fill(" ".join(SENTENCES), 70), "a.txt", "prose"),
        ("\n".join(" ".join(SENTENCES[n : n + 6]) for n in range(0, 60, 6)), "a.txt", "prose"),
        ("今日は雨です。明日は晴れ。\n昨日は雪。そうです。\n", "a.txt", "prose"),
        ("今日は雨です。\n明日は晴れ。\n", "a.txt", "lines"),
        ("One sentence.", "a.txt", "lines"),
        ("", "a.txt", "lines"),
    ],
)
def test_the_format_is_seen(write, text, name, format):
    for line_end in ("\n", "\r\n"):
        path = write(text.replace("\n", line_end), name)
        assert guess_corpus_format(path) == format


@pytest.mark.data
def test_the_format_of_books_is_seen_however_they_are_laid_out(data_dir, write):
    for book in corpus_files(data_dir / "books")[::5]:
        documents = list(read_documents(book))
        lines = "\n\n".join("\n".join(document) for document in documents)
        assert guess_corpus_format(write(lines)) == guess_corpus_format(write(lines.lower())) == "lines"
        text = book.read_text(encoding="utf-8").replace("#", "")
        paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
        assert guess_corpus_format(write("\n".join(paragraphs))) == "prose"
        for width in (50, 72, 100):
            wrapped = "\n\n".join(textwrap.fill(paragraph, width) for paragraph in paragraphs)
            assert guess_corpus_format(write(wrapped)) == "prose"


def test_an_unknown_format_is_refused(write):
    with pytest.raises(ValueError, match="format: expected 'lines' or 'prose' or None, got 'xml'"):
        read_documents(write("a"), format="xml")


# ---- what can't be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["lines", "prose"])
def test_what_is_no_text_is_refused(write, format):
    for content, message in (
        (b"\x89PNG\0\1", "is no text file: it holds NUL bytes"),
        ("a\nb\n".encode("utf-16"), "is no text file: it holds NUL bytes"),
        (b"a.\n" * 30_000 + b"b\0\n", "line 30001: a NUL byte"),
        (b"a\n\nb\xe9\n", "line 3: byte 0xe9 is not UTF-8 text"),
        (b"a\xe2\x82", "line 1: byte 0xe2 is not UTF-8 text"),
    ):
        path = write(content)
        with pytest.raises(ValueError) as caught:
            list(read_documents(path, format))
        assert str(caught.value).startswith(str(path)) and message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_corpus_without_a_sentence_is_refused(write):
    paths = [write("", "1.txt"), write("\ufeff \n\n", "2.txt")]
    with pytest.raises(ValueError, match="1.txt: there is no sentence in this corpus"):
        list(read_documents(paths[0]))
    with pytest.raises(ValueError, match="1.txt and 1 more: there is no sentence"):
        list(read_documents(paths, "prose"))
    paths.append(write("x", "3.txt"))
    assert list(read_documents(paths)) == [["x"]]


# ---- size and identity ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["lines", "prose"])
def test_a_large_file_is_streamed(write, format):
    path = write("Here stands a sentence. And another one.\n\n" * 8000)  # 330 kB
    tracemalloc.start()
    count = sum(len(document) for document in read_documents(path, format))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == {"lines": 8000, "prose": 16_000}[format]
    assert peak < 150_000  # a line, a document, and what reads them


@pytest.mark.parametrize("piece", "a,Ab. ,* ,*,_,`,[a](,<a ,=,| ,> ,<!--x-->,1. ,字。, ".split(","))
def test_one_long_line_takes_no_longer_than_many(write, piece):
    path = write("x " + piece * (100_000 // len(piece)))
    start = time.perf_counter()
    list(read_documents(path, "prose"))
    assert time.perf_counter() - start < 10  # it takes a tenth of a second; quadratic time would be many minutes


def test_the_hash_tells_the_content_and_the_order_but_no_names(write):
    first, second = write(b"a\r\n", "corpus/1.txt"), write("b", "corpus/2.txt")
    found = corpus_hash(first.parent)
    digests = [hashlib.sha256(content).hexdigest() for content in (b"a\r\n", b"b")]
    assert found["files"] == [
        {"name": "1.txt", "bytes": 3, "sha256": digests[0]},
        {"name": "2.txt", "bytes": 1, "sha256": digests[1]},
    ]
    assert found["sha256"] == hashlib.sha256(f"{digests[0]}\n{digests[1]}\n".encode()).hexdigest()
    renamed = [write(b"a\r\n", "x.txt"), write("b", "a.txt")]
    assert corpus_hash(renamed)["sha256"] == found["sha256"] != corpus_hash([second, first])["sha256"]
