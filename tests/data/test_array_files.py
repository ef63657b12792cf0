import numpy as np
import pytest

from bertnp.data.array_files import ArrayWriter, open_array


@pytest.mark.parametrize("count", [0, 1, 9, 100_000])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64", "bool"])
def test_what_is_written_piece_by_piece_is_numpys_file(tmp_path, count, dtype):
    numbers = (np.arange(count) % 100).astype(dtype)
    with ArrayWriter(tmp_path / "ours.npy", dtype) as writer:
        for start in range(0, count, 7919):
            writer.extend(numbers[start : start + 7919].tolist())
    np.save(tmp_path / "numpys.npy", numbers)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpys.npy").read_bytes()


def test_rows_of_several_numbers(tmp_path):
    with ArrayWriter(tmp_path / "rows.npy", np.uint16, columns=4) as writer:
        writer.extend([1, 2, 3, 4])
        writer.extend([5, 6, 7, 8, 9, 10, 11, 12])
    assert np.load(tmp_path / "rows.npy").tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]


def test_a_number_that_does_not_fit_is_not_cut_down(tmp_path):
    with pytest.raises(OverflowError), ArrayWriter(tmp_path / "ids.npy", np.uint8) as writer:
        writer.extend([256])


def test_an_opened_array_is_on_the_disk_and_not_to_be_written_to(tmp_path):
    path = tmp_path / "ids.npy"
    np.save(path, np.arange(10))
    array = open_array(path, path.stat().st_size)
    assert type(array) is np.ndarray and array.tolist() == list(range(10))
    assert isinstance(array.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_files_that_are_not_what_was_made(tmp_path):
    path = tmp_path / "ids.npy"
    with pytest.raises(ValueError, match=r"ids\.npy: the file is missing"):
        open_array(path, 100)
    np.save(path, np.arange(10))
    with pytest.raises(ValueError, match=r"ids\.npy: expected a file of 209 bytes, found 208"):
        open_array(path, 209)
    path.write_bytes(b"x" * 208)
    with pytest.raises(ValueError, match=r"ids\.npy: not a readable \.npy file"):
        open_array(path, 208)
