"""bertnp, measured: with its kernels, or with the textbook bodies. Run by `running`."""

import contextlib
import hashlib
import time

import bertnp
from bertnp.bench.measuring import serve

HEADS = {"pretraining": "BertForPreTraining", "fine-tuning": "BertForSequenceClassification"}


def prepare(request):
    if request["kind"] == "weights":
        return None, make_weights(request)
    if request["kind"] == "peak":
        return None, matrix_facts()
    if request["kind"] == "gpu":
        from bertnp.bench.cuda import describe_gpu

        return None, describe_gpu()
    if request["kind"] == "first-prediction":
        return None, first_prediction(request)
    if request["kind"] == "breakdown":
        return None, training_breakdown(request)
    if request["kind"] == "growth":
        return None, training_growth(request)
    if request["kind"] == "tokenizing":
        return prepare_tokenizing(request)
    if request["kind"] in HEADS:
        return prepare_training(request)
    return prepare_inference(request)


def make_weights(request):
    """Fresh weights, the same for all sides, as a checkpoint."""
    config = bertnp.BertConfig(**request["config"])
    getattr(bertnp, HEADS.get(request["for"], "BertModel"))(config, seed=0).save_pretrained(request["weights"])
    if "vocabulary" in request:
        bertnp.BertTokenizer(request["vocabulary"]).save_pretrained(request["weights"])
    return {}


def first_prediction(request):
    tokenizer = bertnp.BertTokenizer.from_pretrained(request["weights"])
    model = bertnp.BertForSequenceClassification.from_pretrained(request["weights"])
    with bertnp.inference():
        logits = model(**tokenizer([request["text"]], return_tensors="np")).logits[0].tolist()
    return {"logits": logits, "done_at": time.time()}


def training_breakdown(request):
    from bertnp.bench.breakdown import breakdown

    run, _ = prepare_training({**request, "kind": "pretraining", "side": "bertnp"})
    run()
    run()
    return breakdown(run)


def training_growth(request):
    from bertnp.bench.growth import growth

    return growth(request["seconds"])


def matrix_facts():
    from bertnp.bench.machine import matrix_peak

    return {"matrix_peak": matrix_peak(), **facts()}


def load_batches(path):
    """The batches of a file, as dictionaries of arrays."""
    import numpy as np

    batches = {}
    with np.load(path) as arrays:
        for name in arrays.files:
            what, number = name.rsplit(".", 1)
            batches.setdefault(int(number), {})[what] = arrays[name]
    return [batches[number] for number in sorted(batches)]


def bodies(request):
    return bertnp.plain_formulas() if request["side"] == "textbook" else contextlib.nullcontext()


def load_model(request, kind):
    """The model, on the device and in the precision that are asked for."""
    from bertnp.backend import get_backend
    from bertnp.bench.cuda import set_precision

    backend = get_backend(request.get("device", "cpu"))
    dtype = set_precision(backend, request.get("precision", "fp32"))
    return getattr(bertnp, kind).from_pretrained(request["weights"], device=backend, dtype=dtype), backend


def measured(run, backend):
    """A function that does the work to its end on the device, and what is known when it has been timed."""
    if backend.name == "numpy":
        from bertnp.bench.machine import matrix_peak

        return run, {"after": lambda: {"matrix_peak": matrix_peak(0.6)}}

    def to_the_end():
        run()
        backend.synchronize()

    return to_the_end, {"after": lambda: {"peak_bytes": backend.held_bytes()}}


def prepare_training(request):
    model, backend = load_model(request, HEADS[request["kind"]])
    batches = load_batches(request["batches"])
    with bertnp.inference():
        check = [float(bertnp.to_numpy(model(**batches[0]).loss))]
    model.train()
    optimizer = bertnp.AdamW(model, lr=1e-4, weight_decay=0.01)

    def run():
        with bodies(request):
            for batch in batches:
                out = model(**batch)
                model.backward()
                scale, _ = bertnp.clip_grad_norm(model, 1.0)
                optimizer.step(scale)
                optimizer.zero_grad()
                float(bertnp.to_numpy(out.loss))

    run, more = measured(run, backend)
    return run, {"check": check, **facts(), **more}


def prepare_inference(request):
    """Sentences go through the model grouped by length, as `bertnp predict` does; other batches as they are."""
    from bertnp.data import EncodedTexts, batches_by_length

    model, backend = load_model(request, "BertModel")
    batches = load_batches(request["batches"])
    check = batches[0]
    if request["kind"] == "sentences":
        rows = [ids[mask == 1] for b in batches for ids, mask in zip(b["input_ids"], b["attention_mask"], strict=True)]
        examples = EncodedTexts(rows, [row * 0 for row in rows])
        size = len(batches[0]["input_ids"])
        batches = [examples.batch(chosen) for chosen in batches_by_length(examples.lengths, size)]

    def run():
        with bodies(request), bertnp.inference():
            for batch in batches:
                out = model(**batch)
                out.last_hidden_state[0, 0, 0], out.pooler_output[0, 0]

    with bertnp.inference():
        first = bertnp.to_numpy(model(**check).pooler_output)[0, :4].tolist()
    run, more = measured(run, backend)
    return run, {"check": first, **facts(), **more}


def prepare_tokenizing(request):
    tokenizer = bertnp.BertTokenizer(request["vocabulary"])
    with open(request["lines"], encoding="utf-8", newline="") as file:
        lines = file.read().split("\n")
    answers = []

    def run():
        tokenizer._wordpiece.known_ids.clear()  # each run meets every word for the first time
        answers[:] = tokenizer(
            lines, add_special_tokens=False, return_token_type_ids=False, return_attention_mask=False, verbose=False
        )["input_ids"]

    run()
    return run, {"check": [fingerprint(answers)], **facts()}


def fingerprint(rows):
    """A number that tells lists of ids apart."""
    return int(hashlib.sha256(repr([list(row) for row in rows]).encode()).hexdigest()[:12], 16)


def facts():
    """What ran, for the record."""
    import numpy as np

    from bertnp.bench.machine import blas_description

    return {"versions": {"bertnp": bertnp.__version__, "numpy": np.__version__}, "blas": blas_description()}


if __name__ == "__main__":
    serve(prepare)
