"""ONNX Runtime on the same work: transformers' model, exported, with ONNX Runtime's own fusions. Run by `running`."""

import os
import time

import numpy as np

from bertnp.bench.measuring import serve

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def prepare(request):
    if request["kind"] == "export":
        return None, export(request)
    if request["kind"] == "first-prediction":
        return None, first_prediction(request)
    import onnxruntime

    session = open_session(request)
    batches = load_batches(request["batches"])

    def run():
        for batch in batches:
            session.run(None, batch)

    return run, {
        "check": session.run(None, batches[0])[1][0, :4].tolist(),
        "versions": {"onnxruntime": onnxruntime.__version__},
        "blas": {"library": "MLAS"},
    }


def open_session(request):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    path = os.path.join(request["weights"], "fused.onnx")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def first_prediction(request):
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(request["weights"], "tokenizer.json"))
    found = tokenizer.encode(request["text"])
    values = (found.ids, found.attention_mask, found.type_ids)
    feed = {name: np.array([row], np.int64) for name, row in zip(INPUTS, values, strict=True)}
    return {"logits": open_session(request).run(None, feed)[0][0].tolist(), "done_at": time.time()}


def load_batches(path):
    batches = {}
    with np.load(path) as arrays:
        for name in arrays.files:
            what, number = name.rsplit(".", 1)
            batches.setdefault(int(number), {})[what] = arrays[name].astype(np.int64)
    return [batches[number] for number in sorted(batches)]


def export(request):
    """Write fused.onnx beside the weights."""
    import torch
    import transformers
    from onnxruntime.transformers import optimizer

    class Plain(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):
            out = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            return (out.logits,) if classifier else (out.last_hidden_state, out.pooler_output)

    classifier = request.get("for") == "fine-tuning"
    kind = transformers.BertForSequenceClassification if classifier else transformers.BertModel
    model = kind.from_pretrained(request["weights"], attn_implementation="eager")
    ids, mask = torch.ones((2, 8), dtype=torch.long), torch.ones((2, 8), dtype=torch.long)
    mask[1, 5:] = 0
    path = os.path.join(request["weights"], "exported.onnx")
    with torch.no_grad():
        torch.onnx.export(
            Plain(model).eval(), (ids, mask, torch.zeros_like(ids)), path, dynamo=False, opset_version=17,
            input_names=list(INPUTS), output_names=["logits"] if classifier else ["last_hidden_state", "pooler_output"],
            dynamic_axes={name: {0: "B", 1: "S"} for name in INPUTS},
        )  # fmt: skip
    fused = optimizer.optimize_model(
        path, model_type="bert", num_heads=model.config.num_attention_heads, hidden_size=model.config.hidden_size
    )
    fused.save_model_to_file(os.path.join(request["weights"], "fused.onnx"))
    os.remove(path)
    return {}


if __name__ == "__main__":
    serve(prepare)
