"""Corpora: which files, which documents, which sentences; and what is refused."""

import pytest

from bertnp.data import corpus_files, guess_corpus_format, read_documents


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
    names = ["b/z.txt", "b.txt", "a.md", "README", "C.TXT", "b/c/d.markdown", ".h", ".git/x.txt", "x.png", "b-.text"]
    for name in names:
        write("Text.", "corpus/" + name)
    extra = write("More.", "more.xyz")
    found = [file.relative_to(tmp_path).as_posix() for file in corpus_files([tmp_path / "corpus", extra, extra])]
    inside = ["C.TXT", "README", "a.md", "b-.text", "b.txt", "b/c/d.markdown", "b/z.txt"]
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
