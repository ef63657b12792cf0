"""transformers + PyTorch on the same work: same weights, same batches, their fastest settings. Run by `running`."""

import time

import numpy as np
import torch
import transformers

from bertnp.bench.measuring import serve

HEADS = {"pretraining": "BertForPreTraining", "fine-tuning": "BertForSequenceClassification"}


def prepare(request):
    torch.set_num_threads(request["threads"])
    if request["kind"] == "first-prediction":
        return None, first_prediction(request)
    transformers.logging.set_verbosity_error()
    kind = HEADS.get(request["kind"], "BertModel")
    model = getattr(transformers, kind).from_pretrained(request["weights"]).eval()
    batches = load_batches(request["batches"])
    if request.get("device") == "cuda":
        return prepare_cuda(model, batches, request)
    for batch in batches:
        if bool(batch["attention_mask"].all()):
            del batch["attention_mask"]  # nothing to mask: less work
    with torch.inference_mode():
        out = model(**batches[0])
        check = [out.loss.item()] if request["kind"] in HEADS else out.pooler_output[0, :4].tolist()
    run = training(model, batches, request) if request["kind"] in HEADS else inference(model, batches, request)
    return run, {"check": check, **facts()}


def first_prediction(request):
    tokenizer = transformers.BertTokenizer.from_pretrained(request["weights"])
    model = transformers.BertForSequenceClassification.from_pretrained(request["weights"]).eval()
    with torch.inference_mode():
        logits = model(**tokenizer([request["text"]], return_tensors="pt")).logits[0].tolist()
    return {"logits": logits, "done_at": time.time()}


def load_batches(path):
    batches = {}
    with np.load(path) as arrays:
        for name in arrays.files:
            what, number = name.rsplit(".", 1)
            batches.setdefault(int(number), {})[what] = torch.from_numpy(arrays[name])
    return [batches[number] for number in sorted(batches)]


def maybe_compiled(model, request):
    return torch.compile(model) if request["side"] == "torch-compiled" else model


def prepare_cuda(model, batches, request):
    """The same on a GPU; in bf16, PyTorch's automatic mixed precision, whose weights stay float32, too."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = request["precision"] == "tf32"
    model = model.to("cuda")
    batches = [{name: values.to("cuda") for name, values in batch.items()} for batch in batches]
    for batch in batches:
        if bool(batch.get("attention_mask", torch.ones(1)).all()):
            batch.pop("attention_mask", None)
    mixed = torch.autocast("cuda", torch.bfloat16, enabled=request["precision"] == "bf16")
    with torch.inference_mode(), mixed:
        out = model(**batches[0])
        check = [out.loss.item()] if request["kind"] in HEADS else out.pooler_output[0, :4].float().tolist()
    work = training(model, batches, request) if request["kind"] in HEADS else inference(model, batches, request)

    def run():
        with mixed:
            work()
        torch.cuda.synchronize()

    found = facts()
    found["versions"]["cuda"] = torch.version.cuda
    return run, {"check": check, "after": lambda: {"peak_bytes": torch.cuda.max_memory_reserved()}, **found}


def training(model, batches, request):
    model.train()
    decayed = [p for name, p in model.named_parameters() if p.ndim > 1]
    others = [p for name, p in model.named_parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, fused=True)
    forward = maybe_compiled(model, request)

    def run():
        for batch in batches:
            loss = forward(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            loss.item()

    return run


def inference(model, batches, request):
    forward = maybe_compiled(model, request)

    def run():
        with torch.inference_mode():
            for batch in batches:
                out = forward(**batch)
                out.last_hidden_state[0, 0, 0].item(), out.pooler_output[0, 0].item()

    return run


def facts():
    built_with = torch.__config__.show().splitlines()
    library = next((line.strip(" -") for line in built_with if "Math Kernel Library" in line), "unknown")
    return {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "blas": {"library": library, "kernels": torch.backends.cpu.get_cpu_capability()},
    }


if __name__ == "__main__":
    serve(prepare)
