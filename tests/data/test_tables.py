import csv
import json

import numpy as np
import pytest

from bertnp.data import LabelledTexts, decode_lines, read_table


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write


def rows_of(table):
    return [table[row] for row in range(len(table))]


def test_tsv_with_usual_names_needs_no_columns_and_keeps_quotation_marks(write):
    path = write("train.tsv", 'sentence\tlabel\nshe said "no\t0\n"yes"\t1\n')
    table = read_table(path)
    assert rows_of(table) == [('she said "no', None, "0"), ('"yes"', None, "1")]
    assert table.columns == {"text": "sentence", "label": "label"} and table.header == 1
    assert table.lines == [2, 3]


def test_tsv_may_be_read_with_quotes_when_asked(write):
    path = write("train.tsv", 'text\tlabel\n"a\tb"\t1\n')
    assert rows_of(read_table(path, quotes=True)) == [("a\tb", None, "1")]


def test_csv_cells_in_quotes_hold_delimiters_and_line_breaks(write):
    path = write("train.csv", 'text,label\r\n"one, ""two""",1\r\n"three\r\nfour",0\r\nfive,1\r\n')
    table = read_table(path)
    assert rows_of(table) == [('one, "two"', None, "1"), ("three\nfour", None, "0"), ("five", None, "1")]
    assert table.lines == [2, 3, 5]


def test_texts_may_be_long_and_the_csv_modules_own_limit_stays(write):
    limit = csv.field_size_limit()
    text = "word " * 40_000
    assert read_table(write("a.csv", f"text,label\n{text},1\n")).texts == [text]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_of_a_csv_file_is_the_one_that_cuts_its_lines_alike(write, delimiter):
    lines = ["text,label", "well; now,1", "no | yes,0"]
    path = write("train.csv", "\n".join(line.replace(",", delimiter, 1) for line in lines))
    if delimiter in ";|":  # a sentence holds one, too, so it has to be quoted
        path = write("train.csv", f'text{delimiter}label\n"well; now"{delimiter}1\n"no | yes"{delimiter}0')
    assert [text for text, _, _ in rows_of(read_table(path))] == ["well; now", "no | yes"]


def test_columns_by_number_count_from_one_and_a_given_delimiter_counts(write):
    path = write("rows.txt", "x#good film#1\ny#bad film#0\n")
    table = read_table(path, text=2, label="3", delimiter="#")
    assert rows_of(table) == [("good film", None, "1"), ("bad film", None, "0")]
    assert table.header is None and table.columns == {"text": 2, "label": 3}


@pytest.mark.parametrize(
    ("first", "others", "is_header"),
    [
        ("phrase,mood", ["a,0", "b,1", "c,0"], True),  # numbers below a word
        ("phrase,mood", ["a,good", "b,bad", "c,good"], True),  # a label that occurs nowhere else
        ("phrase,good", ["a,good", "b,bad", "c,good"], False),
        ("phrase,3", ["a,0", "b,1", "c,0"], False),
        ("Sentence,good", ["a,good", "b,bad", "c,good"], True),  # a usual name
        ("phrase,mood", ["a,3.25", "b,1.5"], True),
        ("phrase,2.5", ["a,3.25", "b,1.5"], False),
    ],
)
def test_a_header_over_numbered_columns_is_told_by_its_label(write, first, others, is_header):
    path = write("rows.csv", "\n".join([first, *others]))
    assert read_table(path, text=1, label=2).header == (1 if is_header else None)
    for given in (True, False):
        assert len(read_table(path, text=1, label=2, header=given)) == len(others) + (not given)


def test_a_header_may_hold_numbers_for_names(write):
    path = write("rows.csv", "2,1,label\na,b,0\nc,d,1\n")
    assert [text for text, _, _ in rows_of(read_table(path, text="1"))] == ["b", "d"]


def test_json_lines_take_numbers_and_truth_values_as_labels(write):
    lines = [
        {"text": "a", "b": "x", "label": 1},
        {"label": True, "text": "é\tü", "b": "y"},
        {"text": "c", "b": "z", "label": "no"},
    ]
    path = write("rows.jsonl", "\n".join(json.dumps(line) for line in lines))
    assert rows_of(read_table(path, pair="b")) == [("a", "x", "1"), ("é\tü", "y", "true"), ("c", "z", "no")]


def test_a_file_without_a_known_ending_is_told_by_its_look(write):
    assert rows_of(read_table(write("a.txt", '{"text": "t", "label": "l"}'))) == [("t", None, "l")]
    assert rows_of(read_table(write("b.txt", 'text\tlabel\n"t\tl'))) == [('"t', None, "l")]
    assert rows_of(read_table(write("c.txt", 'text,label\n"t",l'))) == [("t", None, "l")]


def test_a_byte_order_mark_and_line_separators_inside_texts_do_no_harm(write):
    path = write("a.tsv", "\ufefftext\tlabel\r\none\u2028two\x0cthree\t1\r\n\r\n\r\n")
    assert rows_of(read_table(path)) == [("one\u2028two\x0cthree", None, "1")]


def test_without_labels_only_the_text_is_read(write):
    table = read_table(write("a.csv", "id,text\n1,one\n2,two\n"), labelled=False)
    assert table.texts == ["one", "two"] and table.labels is None


GOOD = "text\tlabel\na\t1\n"  # and what follows in a file that is not


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.tsv", "", {}, "a.tsv: the file is empty"),
        ("a.tsv", " \n\n", {}, "a.tsv: the file is empty"),
        ("a.tsv", "text\tlabel\n", {}, "a.tsv: there are no rows after the header"),
        ("a.tsv", GOOD, {"text": "phrase"}, "a.tsv: there is no column 'phrase'; there are 'text', 'label'"),
        ("a.tsv", GOOD, {"text": 3}, "a.tsv: there is no column 3; there are 2, counted from 1"),
        ("a.tsv", GOOD, {"text": "0"}, "a.tsv: there is no column 0; there are 2, counted from 1"),
        ("a.tsv", "text\ttext\na\t1\n", {"text": "text", "label": 2},
            "a.tsv: 2 columns are called 'text'; give a number"),
        ("a.tsv", GOOD, {"label": "text"}, "a.tsv: the same column was given for two of text, pair and label"),
        ("a.tsv", "text\tmood\na\t1\n", {}, "a.tsv: say which column holds the label; there are 'text', 'mood'"),
        ("a.tsv", "a\t1\nb\t0\n", {}, "a.tsv: say which column holds the text, and there is no header to go by"),
        ("a.tsv", "a\t1\nb\t0\n", {"text": "a b", "header": False},
            "a.tsv: column 'a b' is asked for by name, but there is no header; give a number"),
        ("a.tsv", GOOD + " \t0\n", {}, "a.tsv, line 3, column 'text': a row without text"),
        ("a.tsv", GOOD + "\nb\t0\n", {}, "a.tsv, line 3: a blank line"),
        ("a.tsv", GOOD + "b\t\n", {}, "a.tsv, line 3, column 'label': a row without label"),
        ("a.tsv", GOOD + "b\tc\t0\n", {}, "a.tsv, line 3: 3 columns, but line 1 has 2 (delimiter: tab)"),
        ("a.csv", 'text,label\n"a\nb",1\nc,d,0\n', {}, "a.csv, line 4: 3 columns, but line 1 has 2 (delimiter: comma)"),
        ("a.csv", 'text,label\na,1\n"b,0\nc,1\n', {},
            "a.csv, line 3: not readable as CSV (unexpected end of data): quotation marks?"),
        ("a.tsv", GOOD.encode() + b"caf\xe9\t0\n", {}, "a.tsv, line 3: not UTF-8 (byte 0xe9); save the file as UTF-8"),
        ("a.tsv", GOOD.encode("utf-16"), {}, "a.tsv, line 1: not UTF-8 (byte 0xff); save the file as UTF-8"),
        ("a.tsv", GOOD, {"delimiter": "::"}, "delimiter: expected one character, got '::'"),
        ("a.tsv", GOOD, {"format": "xml"}, "format: expected tsv, csv, jsonl, got 'xml'"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": \n', {}, "a.jsonl, line 2: not JSON"),
        ("a.jsonl", '{"text": "a", "label": 1}\n["b", 0]\n', {}, "a.jsonl, line 2: expected an object"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"label": 0}\n', {},
            "a.jsonl, line 2, column 'text': a row without text"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": 5, "label": 0}\n', {},
            "a.jsonl, line 2, column 'text': expected text, got 5"),
        ("a.jsonl", '{"text": "a", "label": null}\n', {}, "a.jsonl, line 1, column 'label': a row without label"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named_with_line_and_column(write, name, content, options, message):
    path = write(name, content)
    with pytest.raises(ValueError) as raised:
        read_table(path, **options)
    assert "\n" not in str(raised.value)
    assert message in str(raised.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*no.tsv"):
        read_table(tmp_path / "no.tsv")
    with pytest.raises(ValueError, match="is a folder; expected a file"):
        read_table(tmp_path)


def test_bytes_are_read_as_a_file_is():
    table = read_table(b"good\t1\nbad\t0\n", text=1, label=2, source="standard input")
    assert table.texts == ["good", "bad"] and table.source == "standard input"
    assert decode_lines(b"a\r\nb\n\n", "x") == ["a", "b"]


def test_labels_become_classes_in_the_order_of_their_names(write):
    table = read_table(write("a.tsv", "text\tlabel\na\t10\nb\t9\nc\t10\n"))
    assert table.label_names() == ["9", "10"]
    assert table.classes(["9", "10"]).tolist() == [1, 0, 1]
    assert LabelledTexts(["x"] * 3, ["b", "a", "10"]).label_names() == ["10", "a", "b"]
    with pytest.raises(ValueError, match=r"a.tsv, line 3, column 'label': unknown label '9'; known: '10', '11'$"):
        table.classes(["10", "11"])


@pytest.mark.parametrize("bad", ["high", "nan", "inf"])
def test_labels_that_are_no_numbers_are_named(write, bad):
    table = read_table(write("a.tsv", f"text\tscore\na\t1.5\nb\t{bad}\n"))
    with pytest.raises(ValueError, match=rf"a.tsv, line 3, column 'score': expected a number, got '{bad}'"):
        table.numbers()
    assert read_table(write("b.tsv", "text\tscore\na\t1.5\nb\t-2\n")).numbers().tolist() == [1.5, -2.0]


@pytest.mark.parametrize(("n", "fraction"), [(10, 0.1), (101, 0.25), (40, 0.5), (7, 0.4)])
def test_a_held_out_part_is_a_partition_with_each_labels_share(n, fraction):
    labels = ["rare" if i % 5 == 0 else "often" for i in range(n)]
    table = LabelledTexts([f"text {i}" for i in range(n)], labels, lines=list(range(2, n + 2)))
    rest, held_out = table.hold_out(fraction, seed=3)
    assert len(held_out) == round(fraction * n)
    assert sorted(rest.texts + held_out.texts) == sorted(table.texts)
    assert not set(rest.texts) & set(held_out.texts)
    rare = labels.count("rare") * fraction
    assert abs(held_out.labels.count("rare") - rare) <= 1
    assert held_out.lines == sorted(held_out.lines) and held_out.place(0) == f"the data, line {held_out.lines[0]}"
    again, other = table.hold_out(fraction, seed=3)[1], table.hold_out(fraction, seed=4)[1]
    assert again.texts == held_out.texts
    assert n < 20 or other.texts != held_out.texts


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.99, 1.0])
def test_nothing_may_be_left_empty_by_holding_out(fraction):
    table = LabelledTexts(["a", "b", "c"], ["0", "1", "0"])
    with pytest.raises(ValueError, match="holding out"):
        table.hold_out(fraction)


def test_rows_can_be_read_one_by_one():
    table = LabelledTexts(["a", "b"], ["0", "1"], ["c", "d"])
    assert table[1] == ("b", "d", "1") and len(table) == 2
    assert table.select([1])[0] == ("b", "d", "1")
    assert np.array_equal(table.classes(["0", "1"]), [0, 1])
