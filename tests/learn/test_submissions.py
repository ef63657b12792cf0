import io
import zipfile

import pytest

from bertnp.learn.teaching.submissions import MOST_BYTES, read


def zipped(members):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def written(folder, members):
    for name, content in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        else:
            path.mkdir(exist_ok=True)
    return folder


def seen(submissions):
    return {(s.student, s.id): {name: data.decode() for name, data in s.files.items()} for s in submissions}


LAYOUTS = {
    "moodle, a folder for each": (
        {"Ada Lovelace_17_assignsubmission_file_/ch05.py": "1", "Ada Lovelace_17_assignsubmission_file_/sub/b.py": "2",
         "Jörg Müßig_18_assignsubmission_file_/Blatt 5.ipynb": "3"},
        {("Ada Lovelace", "17"): {"ch05.py": "1", "sub/b.py": "2"}, ("Jörg Müßig", "18"): {"Blatt 5.ipynb": "3"}},
    ),
    "moodle, flat": (
        {"Ada Lovelace_17_assignsubmission_file_ch05.py": "1", "Ada Lovelace_17_assignsubmission_file_b.py": "2"},
        {("Ada Lovelace", "17"): {"ch05.py": "1", "b.py": "2"}},
    ),
    "canvas": (
        {"lovelaceada_4711_99_ch05.py": "1", "lovelaceada_LATE_4711_98_more.py": "2", "bool_12_13_a_b.py": "3"},
        {("lovelaceada", "4711"): {"ch05.py": "1", "more.py": "2"}, ("bool", "12"): {"a_b.py": "3"}},
    ),
    "a file for each": (
        {"ada.py": "1", "bool.ipynb": "2", "notes.txt": "3"},
        {("ada", ""): {"ada.py": "1"}, ("bool", ""): {"bool.ipynb": "2"}},
    ),
    "all in one folder": (
        {"hw5/ada/x.py": "1", "hw5/bool/x.py": "2"}, {("ada", ""): {"x.py": "1"}, ("bool", ""): {"x.py": "2"}},
    ),
    "with what nobody has written": (
        {"ada/x.py": "1", "ada/.ipynb_checkpoints/x.ipynb": "2", "__MACOSX/ada/._x.py": "3",
         "ada/__pycache__/x.py": "4"},
        {("ada", ""): {"x.py": "1"}},
    ),
    "empty folders": ({"ada/x.py": "1", "bool/": ""}, {("ada", ""): {"x.py": "1"}, ("bool", ""): {}}),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("packed", [False, True])
def test_layouts(tmp_path, layout, packed):
    members, expected = LAYOUTS[layout]
    if packed:
        path = tmp_path / "all.zip"
        path.write_bytes(zipped(members))
    else:
        path = written(tmp_path / "all", members)
    assert seen(read(path)) == expected


def test_a_students_own_zip_is_opened(tmp_path):
    inner = zipped({"work/ch05.py": "1", "work/photo.jpg": "2"})
    (ada,) = read(written(tmp_path, {"ada/work.zip": inner, "ada/more.py": "3"}))
    assert seen([ada]) == {("ada", ""): {"more.py": "3", "work/ch05.py": "1"}}
    assert ada.remarks == ["work/photo.jpg is neither .py nor .ipynb and was not looked at"]


def test_what_cannot_be_graded_is_said(tmp_path):
    large = b"#" * (MOST_BYTES + 1)
    broken = zipped({"a.py": "x = 1\n" * 500})[:-30]
    submissions = read(written(tmp_path, {"ada/a.pdf": "1", "ada/b.py": large, "bool/a.zip": broken}))
    ada, bool_ = (submission.remarks for submission in submissions)
    assert ada[0] == "a.pdf is neither .py nor .ipynb and was not looked at"
    assert ada[1] == "b.py is larger than 20 MB and was not looked at"
    assert bool_[0].startswith("a.zip: the zip file can't be read")
    assert not submissions[0].files and not submissions[1].files


def test_nothing_leads_out_of_a_zip_and_no_size_in_it_is_believed(tmp_path):
    path = tmp_path / "all.zip"
    path.write_bytes(
        zipped({"ada/x.py": "1", "ada/../../evil.py": "2", "/ada/evil.py": "3", "bool/y.py": b"0" * (MOST_BYTES + 1)})
    )
    assert path.stat().st_size < MOST_BYTES / 100, "it is a small file"
    ada, bool_ = read(path)
    assert seen([ada, bool_]) == {("ada", ""): {"x.py": "1"}, ("bool", ""): {}}
    assert "larger than" in bool_.remarks[0]


def test_links_are_not_followed(tmp_path):
    (tmp_path / "secret.py").write_text("secret", encoding="utf-8")
    folder = written(tmp_path / "all", {"ada/x.py": "1"})
    try:
        (folder / "ada" / "link.py").symlink_to(tmp_path / "secret.py")
        (folder / "bool").symlink_to(tmp_path)
    except OSError:
        pytest.skip("links can't be made here")
    assert seen(read(folder)) == {("ada", ""): {"x.py": "1"}}


def test_every_student_has_a_folder(tmp_path):
    members = {
        "ada b_1_assignsubmission_file_/x.py": "1",
        "ada_b_1_assignsubmission_file_/x.py": "2",
        "ADA B_1_assignsubmission_file_/x.py": "3",
    }
    folders = [submission.folder for submission in read(written(tmp_path, members))]
    assert len({folder.casefold() for folder in folders}) == 3
    (tmp_path / "odd.zip").write_bytes(zipped({"a/x ..:?*/x.py": "1", "a/CON |/x|y.py": "1"}))
    con, x = read(tmp_path / "odd.zip")
    assert (con.folder, x.folder) == ("CON", "x") and list(con.files) == ["x_y.py"]


def test_one_students_files(tmp_path):
    (one,) = read(written(tmp_path / "submission", {"a.py": "1", "sub/b.py": "2"}), one=True)
    assert one.student == "submission" and set(one.files) == {"a.py", "sub/b.py"}


def test_file_two_comes_before_file_ten(tmp_path):
    (one,) = read(written(tmp_path, {"ada/part 10.py": "1", "ada/part 2.py": "2"}))
    assert list(one.files) == ["part 2.py", "part 10.py"]


@pytest.mark.parametrize("name", ["missing", "notes.txt", "broken.zip", "empty"])
def test_no_submissions(tmp_path, name):
    written(tmp_path, {"notes.txt": "1", "broken.zip": "no zip", "empty/": ""})
    with pytest.raises(ValueError, match="submissions|zip file"):
        read(tmp_path / name)
