"""--device and --precision, where there is no GPU and where there is one."""

import pytest
from cuda_devices import gpu_missing

needs_no_gpu = pytest.mark.skipif(gpu_missing() is None, reason="there is a GPU")


@needs_no_gpu
@pytest.mark.parametrize("command", ["pretrain", "finetune", "fill-mask", "next-sentence", "predict", "evaluate"])
def test_a_gpu_that_is_not_there_is_told_in_one_line_before_anything_is_done(refused, command, tmp_path):
    inputs = {"pretrain": [tmp_path / "none.txt", "-o", tmp_path / "out"]}
    inputs["finetune"] = [tmp_path / "none.tsv", "--model", tmp_path / "none", "-o", tmp_path / "out"]
    message = refused(command, *inputs.get(command, [tmp_path / "none", "--model", tmp_path / "none"]),
                      "--device", "cuda")  # fmt: skip
    assert message.startswith("argument --device: device 'cuda' ")
    assert "CuPy finds no CUDA device" in message or "pip install 'bertnp[cuda12]'" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision, name", [("tf32", "tf32"), ("bf16", "bfloat16"), ("bfloat16", "bfloat16")])
def test_precisions_of_a_gpu_are_refused_on_the_processor(refused, precision, name, tmp_path):
    (tmp_path / "text.txt").write_text("one\ntwo\n", encoding="utf-8")
    message = refused("pretrain", tmp_path / "text.txt", "-o", tmp_path / "out", "--precision", precision)
    assert message == f"--precision {name} needs --device cuda"


def test_other_devices_and_precisions_are_refused(refused, tmp_path):
    rest = [tmp_path / "none.tsv", "--model", tmp_path, "-o", tmp_path / "out"]
    assert "expected cpu or cuda, got 'tpu'" in refused("finetune", *rest, "--device", "tpu")
    assert "expected one of float32, fp32, tf32, bf16" in refused("finetune", *rest, "--precision", "int8")
