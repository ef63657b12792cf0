"""BERT with its heads: pre-training, sentences, tokens, spans, choices. Every one trains.

Losses and names are those of transformers; labels are host integers, -100 where there is none.
"""

import numpy as np

import bertnp.functional as F
from bertnp.backend import array_module, as_array, is_array
from bertnp.models.bert import BertPreTrainedModel, BertTrunk, host_array, leading_shape, one_of
from bertnp.models.output import LossPart, ModelOutput, WhenRead
from bertnp.nn import (
    Activation,
    BinaryCrossEntropyLoss,
    CrossEntropyLoss,
    Dropout,
    LayerNorm,
    Linear,
    MeanSquaredErrorLoss,
    Module,
    inference,
    is_inference,
)
from bertnp.nn.parameter import Parameter

IGNORED = -100


def class_labels(name, labels, shape, classes):
    """Host integers of the given shape, each a class or -100; ValueError or TypeError naming what they are not."""
    labels = host_array(name, labels)
    if labels.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got {labels.dtype}")
    wrong = labels[(labels != IGNORED) & ((labels < 0) | (labels >= classes))]
    if wrong.size:
        raise ValueError(f"{name}: {wrong[0]} is neither a class in 0..{classes - 1} nor -100 (no label)")
    return labels


class BertPredictionHeadTransform(Module):
    """y = LayerNorm(f(h Wᵀ + b)), f the configuration's hidden_act. Chapter 12, equation 12.1."""

    def __init__(self, config):
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.activation = Activation(config.hidden_act)
        self.LayerNorm = LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, h):
        return self.LayerNorm(self.activation(self.dense(h)))

    def backward(self, dy):
        return self.dense.backward(self.activation.backward(self.LayerNorm.backward(dy)))


class BertLMPredictionHead(Module):
    """logits = transform(h) Eᵀ + b: a score for every word; E is the table of word embeddings, used a second time

    h: (N, H)  ->  logits: (N, V)

    Chapter 12, equation 12.2.
    """

    def __init__(self, config, word_embeddings):
        self.transform = BertPredictionHeadTransform(config)
        self.bias = Parameter((config.vocab_size,), "zeros", decay=False)
        weight = word_embeddings.weight if config.tie_word_embeddings else None
        self.decoder = Linear(config.hidden_size, config.vocab_size, weight, self.bias)

    def forward(self, h):
        return self.decoder(self.transform(h))

    def backward(self, dlogits):
        return self.transform.backward(self.decoder.backward(dlogits))


class BertPreTrainingHeads(Module):
    """The masked-word head and, where wanted, the next-sentence head."""

    def __init__(self, config, word_embeddings, next_sentence):
        self.predictions = BertLMPredictionHead(config, word_embeddings)
        if next_sentence:
            self.seq_relationship = Linear(config.hidden_size, 2)


class BertOnlyNSPHead(Module):
    def __init__(self, config):
        self.seq_relationship = Linear(config.hidden_size, 2)


class MaskedWords(BertPreTrainedModel):
    """What the models with a masked-word head share.

    The loss is computed on the labelled positions alone; the logits of all positions when they are first read.
    """

    forwards = 0

    @property
    def tied_names(self):
        names = {"cls.predictions.decoder.bias": "cls.predictions.bias"}
        if self.config.tie_word_embeddings:
            names["cls.predictions.decoder.weight"] = "bert.embeddings.word_embeddings.weight"
        return names

    def vocabulary_parameters(self):
        words, decoder = self.bert.embeddings.word_embeddings.weight, self.cls.predictions.decoder
        return [words, decoder.bias] if decoder.weight is words else [words, decoder.weight, decoder.bias]

    def masked_word_labels(self, labels, input_ids, inputs_embeds):
        """The labels, checked, and which positions to keep for their sake; (None, None) without labels."""
        if labels is None:
            return None, None
        labels = class_labels("labels", labels, leading_shape(input_ids, inputs_embeds), self.config.vocab_size)
        return labels, labels != IGNORED

    def masked_word_loss(self, h, packing, labels):
        """The LossPart of the labelled rows of h, and which rows those are; (None, None) without labels."""
        if labels is None:
            return None, None
        labels = labels.reshape(-1)[packing.rows]  # (T,)
        rows = np.flatnonzero(labels != IGNORED)  # (N,)
        logits = self.cls.predictions(F.gather_rows(h, rows))  # (N, V)
        return LossPart(self.masked_word_criterion(logits, labels[rows]), logits, labels[rows]), rows

    def masked_word_loss_backward(self, dloss, rows, packing):
        """dh (T, H) from dloss."""
        dlogits = self.masked_word_criterion.backward(dloss)
        return F.gather_rows_backward(self.cls.predictions.backward(dlogits), rows, packing.T)

    def all_rows(self, h, packing, save=False):
        """The encoder's rows (T, H), those of the last layer computed now where h has only the ones that were read."""
        return h if packing.into_last is None else self.bert.encoder.whole_last_layer(packing, save)

    def all_logits(self, h, packing):
        """The logits of every position, (B, S, V), when they are read."""
        self.forwards += 1
        free = is_inference()
        made_in = (self.forwards, self.buffer, self.buffer.version)

        def compute():
            if not free and made_in != (self.forwards, self.buffer, self.buffer.version):
                raise RuntimeError("these logits were not read before the weights changed or another forward ran")
            with inference():  # what the head saved for a backward stays as it is
                return packing.pad(self.cls.predictions(self.all_rows(h, packing)))

        return WhenRead(compute)

    def all_logits_backward(self, dlogits, h, packing):
        """dh (T, H) from the gradient of every position's logits, (B, S, V)."""
        self.cls.predictions(self.all_rows(h, packing, save=True))
        return self.cls.predictions.backward(packing.unpad(dlogits))


class BertForPreTraining(MaskedWords):
    """Both tasks BERT is pre-trained by: the masked words, and whether B follows A (Devlin et al. 2019, section 3.1).

    out.loss: their sum, if both labels are given
    out.prediction_logits: (B, S, V)   out.seq_relationship_logits: (B, 2)

    Chapter 12, equation 12.7.
    """

    def build(self, config):
        self.bert = BertTrunk(config)
        self.cls = BertPreTrainingHeads(config, self.bert.embeddings.word_embeddings, next_sentence=True)
        self.masked_word_criterion = CrossEntropyLoss()
        self.next_sentence_criterion = CrossEntropyLoss()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        next_sentence_label=None,
        output_attentions=None,
        output_hidden_states=None,
    ):
        """labels: (B, S) word ids, -100 where none was masked
        next_sentence_label: (B,), 0: B follows A, 1: it doesn't
        """
        if labels is None or next_sentence_label is None:
            labels = next_sentence_label = None
        labels, also = self.masked_word_labels(labels, input_ids, inputs_embeds)
        inputs = input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds
        h, pooled, packing, extras = self.encode(inputs, output_hidden_states, output_attentions, also, also)
        relation = self.cls.seq_relationship(pooled)
        words, rows = self.masked_word_loss(h, packing, labels)
        loss = parts = None
        if words is not None:
            answers = class_labels("next_sentence_label", next_sentence_label, (packing.B,), 2)
            sentences = LossPart(self.next_sentence_criterion(relation, answers), relation, answers)
            loss, parts = words.loss + sentences.loss, {"labels": words, "next_sentence_label": sentences}
        self.save(h, packing, rows)
        return ModelOutput(
            loss=loss, prediction_logits=self.all_logits(h, packing), seq_relationship_logits=relation, parts=parts,
            **extras,
        )  # fmt: skip

    def backward(self, scale=1.0, dprediction_logits=None, dseq_relationship_logits=None):
        """Add to every gradient, from the loss times scale or from the outputs' gradients; returns the embeddings'.

        scale: one number, or one for each part of the loss: {"labels": ..., "next_sentence_label": ...}
        """
        if not isinstance(scale, dict):
            scale = dict.fromkeys(("labels", "next_sentence_label"), scale)
        of_words, of_sentences = scale["labels"], scale["next_sentence_label"]
        h, packing, rows = self.saved()
        dh = drelation = None
        if dprediction_logits is None and dseq_relationship_logits is None:
            if rows is None:
                raise self.no_loss()
            dh = self.masked_word_loss_backward(of_words, rows, packing)
            drelation = self.next_sentence_criterion.backward(of_sentences)
        if dprediction_logits is not None:
            dh = self.all_logits_backward(dprediction_logits * of_words, h, packing)
        if dseq_relationship_logits is not None:
            drelation = dseq_relationship_logits * of_sentences
        dpooled = None if drelation is None else self.cls.seq_relationship.backward(drelation)
        return self.bert.encode_rows_backward(packing, dh, dpooled)


class BertForMaskedLM(MaskedWords):
    """The masked words alone.

    out.loss   out.logits: (B, S, V)
    """

    def build(self, config):
        self.bert = BertTrunk(config, add_pooling_layer=False)
        self.cls = BertPreTrainingHeads(config, self.bert.embeddings.word_embeddings, next_sentence=False)
        self.masked_word_criterion = CrossEntropyLoss()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        output_attentions=None,
        output_hidden_states=None,
    ):
        """labels: (B, S) word ids, -100 where none was masked"""
        labels, also = self.masked_word_labels(labels, input_ids, inputs_embeds)
        inputs = input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds
        h, _, packing, extras = self.encode(inputs, output_hidden_states, output_attentions, also, also)
        words, rows = self.masked_word_loss(h, packing, labels)
        self.save(h, packing, rows)
        loss, parts = (None, None) if words is None else (words.loss, {"labels": words})
        return ModelOutput(loss=loss, logits=self.all_logits(h, packing), parts=parts, **extras)

    def backward(self, scale=1.0, dlogits=None):
        """Add to every gradient, from the loss times scale or from dlogits (B, S, V); returns the embeddings'."""
        h, packing, rows = self.saved()
        if dlogits is not None:
            dh = self.all_logits_backward(dlogits * scale, h, packing)
        elif rows is not None:
            dh = self.masked_word_loss_backward(scale, rows, packing)
        else:
            raise self.no_loss()
        return self.bert.encode_rows_backward(packing, dh)


class Classifier(BertPreTrainedModel):
    """What the heads with one linear map to C scores share: the loss, and where its gradient starts."""

    label_smoothing, class_weights = 0.0, None

    def set_loss(self, label_smoothing=0.0, class_weights=None):
        """Learn with smoothed labels, or with classes that count more than others; returns the model.

        class_weights: (C,) numbers; see `nn.CrossEntropyLoss` and, for several at once, `BinaryCrossEntropyLoss`
        """
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing: expected a number from 0 to below 1, got {label_smoothing!r}")
        if class_weights is not None:
            class_weights = np.asarray(class_weights, np.float64)
            if class_weights.shape != (self.config.num_labels,) or not (class_weights >= 0).all():
                raise ValueError(f"class_weights: expected {self.config.num_labels} numbers of at least 0, got "
                                 f"{class_weights.tolist()}")  # fmt: skip
        self.label_smoothing, self.class_weights = label_smoothing, class_weights
        self.criterion = self.new_criterion()
        return self

    def new_criterion(self):
        return CrossEntropyLoss(IGNORED, self.label_smoothing, self.class_weights)

    def dlogits(self, scale, dlogits, has_loss):
        """The gradient of the logits: the one given, scaled, or the loss's."""
        if dlogits is not None:
            return dlogits * scale
        if not has_loss:
            raise self.no_loss()
        return self.criterion.backward(scale)


class BertForNextSentencePrediction(Classifier):
    """Does B follow A? A question of two classes: 0, it does; 1, B is from elsewhere.

    out.loss   out.logits: (B, 2)
    """

    def build(self, config):
        self.bert = BertTrunk(config)
        self.cls = BertOnlyNSPHead(config)
        self.criterion = CrossEntropyLoss()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        output_attentions=None,
        output_hidden_states=None,
    ):
        """labels: (B,), 0: B follows A, 1: it doesn't"""
        inputs = input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds
        _, pooled, packing, extras = self.encode(inputs, output_hidden_states, output_attentions, read=False)
        logits, loss = self.cls.seq_relationship(pooled), None
        if labels is not None:
            labels = host_array("labels", labels).reshape(-1)
            loss = self.criterion(logits, class_labels("labels", labels, (packing.B,), 2))
        self.save(packing, loss is not None)
        return ModelOutput(loss=loss, logits=logits, **extras)

    def backward(self, scale=1.0, dlogits=None):
        """Add to every gradient, from the loss times scale or from dlogits (B, 2); returns the embeddings'."""
        packing, has_loss = self.saved()
        dpooled = self.cls.seq_relationship.backward(self.dlogits(scale, dlogits, has_loss))
        return self.bert.encode_rows_backward(packing, dpooled=dpooled)


class BertForSequenceClassification(Classifier):
    """A class, several classes, or a number for a sentence or a pair, from the pooled vector.

    config.problem_type says which loss; where it is None it is told from the labels and written there:
      regression                    num_labels 1, or as set: mean squared error
      single_label_classification   integer labels: cross-entropy
      multi_label_classification    labels of floats, (B, C): binary cross-entropy
    out.loss   out.logits: (B, C)
    """

    def build(self, config):
        self.bert = BertTrunk(config)
        self.dropout = Dropout(classifier_dropout(config))
        self.classifier = Linear(config.hidden_size, config.num_labels)
        self.criterion = None

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        output_attentions=None,
        output_hidden_states=None,
    ):
        """labels: (B,) classes, (B,) or (B, C) numbers, or (B, C) truth values as floats"""
        inputs = input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds
        _, pooled, packing, extras = self.encode(inputs, output_hidden_states, output_attentions, read=False)
        logits = self.classifier(self.dropout(pooled, packing.draw_sequences(pooled.shape[-1])))  # (B, C)
        loss = None if labels is None else self.loss(logits, host_array("labels", labels))
        self.save(packing, loss is not None)
        return ModelOutput(loss=loss, logits=logits, **extras)

    def loss(self, logits, labels):
        B, C = logits.shape
        kind = self.config.problem_type or problem_type(C, labels)
        if kind == "single_label_classification":
            labels = class_labels("labels", labels.reshape(-1), (B,), C)
        elif labels.shape != (B, C) and not (C == 1 and labels.shape == (B,)):
            raise ValueError(f"labels: expected shape {(B, C)} for {kind}, got {labels.shape}")
        elif labels.dtype.kind not in "fiub":
            raise TypeError(f"labels: expected numbers for {kind}, got {labels.dtype}")
        else:
            labels = as_array(labels.reshape(B, C), like=logits, dtype=logits.dtype)
        self.config.problem_type = kind
        if type(self.criterion) is not CRITERIA[kind]:
            self.criterion = self.new_criterion()
        return self.criterion(logits, labels)

    def new_criterion(self):
        kind = self.config.problem_type
        if kind == "single_label_classification":
            return super().new_criterion()
        if self.label_smoothing or (kind == "regression" and self.class_weights is not None):
            what = "label smoothing" if self.label_smoothing else "class weights"
            raise ValueError(f"set_loss: {kind} has no {what}")
        return None if kind is None else CRITERIA[kind](*([] if kind == "regression" else [self.class_weights]))

    def backward(self, scale=1.0, dlogits=None):
        """Add to every gradient, from the loss times scale or from dlogits (B, C); returns the embeddings'."""
        packing, has_loss = self.saved()
        dpooled = self.dropout.backward(self.classifier.backward(self.dlogits(scale, dlogits, has_loss)))
        return self.bert.encode_rows_backward(packing, dpooled=dpooled)


CRITERIA = {
    "regression": MeanSquaredErrorLoss,
    "single_label_classification": CrossEntropyLoss,
    "multi_label_classification": BinaryCrossEntropyLoss,
}


def problem_type(classes, labels):
    """What the labels ask for: one class is a number; integers are classes; anything else several classes at once."""
    if classes == 1:
        return "regression"
    return "single_label_classification" if labels.dtype.kind in "iu" else "multi_label_classification"


def classifier_dropout(config):
    return config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout


class BertForMultipleChoice(Classifier):
    """Which of C continuations fits: each is encoded for itself and given one score.

    Inputs are (B, C, S).   out.loss   out.logits: (B, C)
    """

    def build(self, config):
        self.bert = BertTrunk(config)
        self.dropout = Dropout(classifier_dropout(config))
        self.classifier = Linear(config.hidden_size, 1)
        self.criterion = CrossEntropyLoss()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        output_attentions=None,
        output_hidden_states=None,
    ):
        """labels: (B,), the place of the right choice"""
        inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "position_ids": position_ids,
            "inputs_embeds": inputs_embeds,
        }
        inputs = [x if x is None or is_array(x) else host_array(name, x) for name, x in inputs.items()]
        leading = one_of(inputs[0], inputs[4])
        if leading.ndim < 3:
            raise ValueError(f"input_ids: expected (B, C, S), the choices of each example, got shape {leading.shape}")
        C = leading.shape[1]
        inputs = [x if x is None else x.reshape(-1, *x.shape[2:]) for x in inputs]  # (B·C, S)
        _, pooled, packing, extras = self.encode(inputs, output_hidden_states, output_attentions, read=False)
        scores = self.classifier(self.dropout(pooled, packing.draw_sequences(pooled.shape[-1])))  # (B·C, 1)
        logits, loss = scores.reshape(-1, C), None
        if labels is not None:
            loss = self.criterion(logits, class_labels("labels", labels, (len(logits),), C))
        self.save(packing, C, loss is not None)
        return ModelOutput(loss=loss, logits=logits, **extras)

    def backward(self, scale=1.0, dlogits=None):
        """Add to every gradient, from the loss times scale or from dlogits (B, C); returns the embeddings'."""
        packing, C, has_loss = self.saved()
        dscores = self.dlogits(scale, dlogits, has_loss).reshape(-1, 1)
        dpooled = self.dropout.backward(self.classifier.backward(dscores))
        dembeds = self.bert.encode_rows_backward(packing, dpooled=dpooled)  # (B·C, S, H)
        return dembeds.reshape(-1, C, *dembeds.shape[1:])


class BertForTokenClassification(Classifier):
    """A class for every token.

    out.loss   out.logits: (B, S, C), zeros at padding without a label
    """

    def build(self, config):
        self.bert = BertTrunk(config, add_pooling_layer=False)
        self.dropout = Dropout(classifier_dropout(config))
        self.classifier = Linear(config.hidden_size, config.num_labels)
        self.criterion = CrossEntropyLoss()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        output_attentions=None,
        output_hidden_states=None,
    ):
        """labels: (B, S) classes, -100 where there is none"""
        also = None
        if labels is not None:
            labels = class_labels("labels", labels, leading_shape(input_ids, inputs_embeds), self.config.num_labels)
            also = labels != IGNORED
        inputs = input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds
        h, _, packing, extras = self.encode(inputs, output_hidden_states, output_attentions, also)
        logits, loss = self.classifier(self.dropout(h, packing.draw_tokens(h.shape[-1]))), None  # (T, C)
        if labels is not None:
            loss = self.criterion(logits, labels.reshape(-1)[packing.rows])
        self.save(packing, loss is not None)
        return ModelOutput(loss=loss, logits=packing.pad(logits), **extras)

    def backward(self, scale=1.0, dlogits=None):
        """Add to every gradient, from the loss times scale or from dlogits (B, S, C); returns the embeddings'."""
        packing, has_loss = self.saved()
        dlogits = self.dlogits(scale, None if dlogits is None else packing.unpad(dlogits), has_loss)
        dh = self.dropout.backward(self.classifier.backward(dlogits))
        return self.bert.encode_rows_backward(packing, dh)


class BertForQuestionAnswering(BertPreTrainedModel):
    """Where in the text the answer starts and where it ends: two softmaxes over the positions.

    They run over padding too, so every position is computed.
    out.loss: the mean of both cross-entropies   out.start_logits, out.end_logits: (B, S)
    """

    def build(self, config):
        config.num_labels = 2  # a score for the start and one for the end, whatever the folder was labelled for
        self.bert = BertTrunk(config, add_pooling_layer=False)
        self.qa_outputs = Linear(config.hidden_size, 2)
        self.set_loss()

    def set_loss(self, label_smoothing=0.0):
        """Learn with smoothed labels; returns the model."""
        self.start_criterion = CrossEntropyLoss(IGNORED, label_smoothing)
        self.end_criterion = CrossEntropyLoss(IGNORED, label_smoothing)
        return self

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        start_positions=None,
        end_positions=None,
        output_attentions=None,
        output_hidden_states=None,
    ):
        """start_positions, end_positions: (B,), in 0..S-1; S or more: no answer in this text, which counts nothing

        Chapter 16, equation 16.3.
        """
        inputs = input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds
        h, _, packing, extras = self.encode(inputs, output_hidden_states, output_attentions, also=True)
        logits, loss = packing.pad(self.qa_outputs(h)), None  # (B, S, 2)
        start, end = logits[..., 0], logits[..., 1]  # (B, S) each
        if start_positions is not None and end_positions is not None:
            first = span_labels("start_positions", start_positions, packing)
            last = span_labels("end_positions", end_positions, packing)
            loss = (self.start_criterion(start, first) + self.end_criterion(end, last)) * 0.5
        self.save(packing, loss is not None)
        return ModelOutput(loss=loss, start_logits=start, end_logits=end, **extras)

    def backward(self, scale=1.0, dstart_logits=None, dend_logits=None):
        """Add to every gradient, from the loss times scale or from the outputs' gradients; returns the embeddings'.

        Chapter 16, equation 16.8.
        """
        packing, has_loss = self.saved()
        if dstart_logits is not None or dend_logits is not None:
            given = dend_logits if dstart_logits is None else dstart_logits
            dstart = given * 0 if dstart_logits is None else dstart_logits * scale
            dend = given * 0 if dend_logits is None else dend_logits * scale
        elif has_loss:
            dstart = self.start_criterion.backward(0.5 * scale)
            dend = self.end_criterion.backward(0.5 * scale)
        else:
            raise self.no_loss()
        dlogits = array_module(dstart).stack([dstart, dend], axis=-1)  # (B, S, 2)
        return self.bert.encode_rows_backward(packing, self.qa_outputs.backward(packing.unpad(dlogits)))


def span_labels(name, positions, packing):
    """Positions (B,) as labels for a softmax over S places: those past the end have none."""
    positions = host_array(name, positions).reshape(-1)
    if positions.shape != (packing.B,):
        raise ValueError(f"{name}: expected shape {(packing.B,)}, got {positions.shape}")
    if positions.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got {positions.dtype}")
    positions = np.clip(positions, 0, packing.S)
    return np.where(positions == packing.S, IGNORED, positions)
