"""See what BERT is for: pre-train a small one and put it to use, offline, in about two minutes.

Stories of an invented world are told, and a vocabulary is made from them. A small BERT is pre-trained on the stories
and then taught, with a few labelled sentences, to tell good feelings from bad ones: from what it has learnt, and for
comparison from nothing. DIR gets three pictures, both models, the texts, and tour.json with all figures.
"""

import json
import random
import textwrap
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bertnp import blas
from bertnp.backend import to_numpy
from bertnp.backend.files import write_text
from bertnp.cli.arguments import make_writable, number, program
from bertnp.data import create_pretraining_instances, encode_texts
from bertnp.data.pretraining import PretrainingInstances
from bertnp.data.world import Floor, all_masked, feelings, unigram_entropy, valley
from bertnp.data.world.valley import LABELS
from bertnp.models.configuration import BertConfig
from bertnp.models.heads import BertForPreTraining, BertForSequenceClassification
from bertnp.nn import inference
from bertnp.optim import AdamW
from bertnp.pipelines import FillMask, TextClassifier
from bertnp.tokenization import BertTokenizer
from bertnp.tokenization.vocabulary_training import SPECIAL_TOKENS, count_words, train_vocabulary
from bertnp.training import ProgressBar, Trainer, evaluate, evaluate_pretraining

EXAMPLES = """\
examples:
  bertnp tour
  bertnp tour -o my-tour --seed 1
  bertnp tour --impl chapters/mine/    on functions that you wrote (see bertnp learn)

from Python:
  from bertnp.cli.tour import take_tour
  figures = take_tour("my-tour")
"""
REPORT = "tour.json"
NEW_WORD = "The merry bumblebee smiled."
MASKED = [
    "Oona lives [MASK] the bridge.",
    "The [MASK] barked by the lake.",
    "It was a lovely and [MASK] morning.",
    "The rain fell and she felt [MASK].",
    "He smiled: I [MASK] you.",
]
LOOKS_FROM, LOOKS_AT, ATTENTIVE = "[MASK]", "rain", "The rain fell and she felt [MASK]."
SENTENCES = ["I love you.", "I hate you."]
FROM_SCRATCH, PRETRAINED = SIDES = ("from scratch", "pre-trained")
WIDTH = 100  # of what is said


@dataclass
class Settings:
    """How large everything is. The defaults are for two cores and two minutes."""

    stories: int = 2000
    held_out_stories: int = 200
    dupe_factor: int = 5  # times that stories are cut into pairs, each time at other places
    vocabulary: int = 1000  # tokens at most
    layers: int = 2
    hidden: int = 64
    heads: int = 2
    intermediate: int = 128
    steps: int = 1600
    batch_size: int = 32
    lr: float = 6e-3
    evaluations: int = 10
    labels: tuple = (8, 16, 32, 64, 128)  # how many sentences are labelled
    seeds: int = 5
    test_sentences: int = 400
    finetune_batch_size: int = 16
    finetune_lr: float = 2e-3
    finetune_steps: int = 60  # at least
    finetune_epochs: int = 15  # at least


def add_arguments(parser):
    parser.add_argument("-o", "--output", default="bertnp-tour", metavar="DIR",
                        help="the folder to write to (default: bertnp-tour)")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="write there though it holds something else")
    parser.add_argument("--seed", type=number(int, 0), default=0, metavar="N",
                        help="of all that is random (default: 0)")  # fmt: skip
    parser.add_argument("--impl", nargs="+", metavar="PATH", help="files of yours, or folders of them: BERT runs on "
                        "the functions that you wrote there for exercises; what is not right is refused")  # fmt: skip
    parser.add_argument("--unchecked", action="store_true", help="with --impl: run on them, right or wrong")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def run(args):
    output = Path(args.output)
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; expected a folder to write to")
    if not args.overwrite and output.is_dir() and any(output.iterdir()) and not (output / REPORT).is_file():
        raise ValueError(f"{output} is not empty, and not of a tour; give another folder, or --overwrite")
    if args.unchecked and not args.impl:
        raise ValueError("--unchecked goes with --impl")
    if args.impl:
        from bertnp.cli.own_tour import take_own_tour

        return take_own_tour(args.impl, output, args.seed, unchecked=args.unchecked, progress=not args.quiet)
    take_tour(output, args.seed, say=lambda line: print(line, flush=True), progress=not args.quiet)


def take_tour(output, seed=0, settings=None, say=print, progress=False):
    """Take the tour; returns its figures, which output/tour.json holds.

    output: the folder to write to   seed: of all that is random   settings: `Settings`
    say: called with what there is to read   progress: whether to show progress bars
    """
    tour = Tour(Path(output), seed, settings or Settings(), say, progress)
    make_writable(tour.output)
    tour.write_figures()  # from now on the folder is known as a tour's
    for step in (tour.world, tour.words, tour.pretraining, tour.filling, tour.attention, tour.feelings, tour.end):
        began = time.perf_counter(), time.process_time()
        with blas.threads(1):  # the matrices are small
            step()
        tour.figures["seconds"][step.__name__] = round(time.perf_counter() - began[0], 2)
        tour.figures["processor_seconds"][step.__name__] = round(time.process_time() - began[1], 2)
    tour.write_figures()
    return tour.figures


class Tour:
    """The steps of the tour, in order: each does something, says what and why, and leaves what the next ones need."""

    def __init__(self, output, seed, settings, say, progress):
        self.output, self.seed, self.settings, self.say, self.progress = output, seed, settings, say, progress
        self.figures = {"seed": seed, "settings": asdict(settings), "seconds": {}, "processor_seconds": {}}

    # how things are said

    def title(self, text):
        self.say(f"\n{text}")

    def tell(self, text):
        self.say(textwrap.fill(text, WIDTH, initial_indent="   ", subsequent_indent="   "))

    def show(self, line):
        self.say(f"     {line}")

    # the steps

    def world(self):
        """Have stories told: many to learn from, some to hold out."""
        world = valley()
        self.floor = Floor(world)
        self.stories = world.stories(self.settings.stories, f"stories {self.seed}")
        self.held_out_stories = world.stories(self.settings.held_out_stories, f"held-out stories {self.seed}")
        write_text(self.output / "stories.txt", "\n".join("\n".join(story) + "\n" for story in self.stories))
        self.title("1  A world")
        self.tell(f"{len(self.stories):,} stories of an invented valley, told by a grammar that BERT never sees. "
                  "One of them:")  # fmt: skip
        self.show(" ".join(self.stories[0]))
        self.tell("In the valley feelings follow the weather. Nobody tells BERT, nor that 'glad' is like 'merry'.")

    def words(self):
        """Make a vocabulary from the stories."""
        blank = BertTokenizer(list(SPECIAL_TOKENS))
        counts = count_words((sentence for story in self.stories for sentence in story), blank)
        self.tokenizer = BertTokenizer(train_vocabulary(counts, self.settings.vocabulary))
        self.floor.world.check_tokenizer(self.tokenizer)
        self.figures["vocabulary"] = len(self.tokenizer)
        self.title("2  Words")
        self.tell("A network reads numbers, so text is cut into tokens, which are numbered. These "
                  f"{len(self.tokenizer)} are made from the stories; a word that no story has is cut into "
                  "pieces:")  # fmt: skip
        self.show(f"{NEW_WORD}  ->  {' '.join(self.tokenizer.tokenize(NEW_WORD))}")

    def pretraining(self):
        """Pre-train on masked words and next sentences, and hold the loss against the best possible."""
        settings = self.settings
        train = self.instances(self.stories, settings.dupe_factor)
        held_out = [all_masked(record, "[MASK]") for record in self.instances(self.held_out_stories, 1)]
        examples = PretrainingInstances.from_records(held_out, self.tokenizer)
        config = BertConfig(
            vocab_size=len(self.tokenizer), hidden_size=settings.hidden, num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads, intermediate_size=settings.intermediate,
            max_position_embeddings=self.floor.longest_instance, initializer_range=0.05,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        )  # fmt: skip
        self.untrained, self.model = (BertForPreTraining(config, seed=self.seed) for _ in range(2))
        first = train[0]
        self.title("3  Pre-training")
        self.tell("BERT learns from bare text, by two tasks: say which words are hidden, and whether the second part "
                  "is how the story goes on:")  # fmt: skip
        self.show(" ".join(first.tokens))
        self.show(f"  {', '.join(first.masked_lm_labels)}; {'no' if first.is_random_next else 'yes'}")
        self.tell(f"{settings.layers} layers of {settings.heads} heads, hidden size {settings.hidden}, "
                  f"{self.model.num_parameters():,} parameters: {settings.steps:,} steps, with {settings.batch_size} "
                  "such pairs in each.")  # fmt: skip
        before = evaluate_pretraining(self.untrained, examples)
        began = time.perf_counter()
        trainer = Trainer(
            self.model, PretrainingInstances.from_records(train, self.tokenizer), examples, steps=settings.steps,
            batch_size=settings.batch_size, optimizer=AdamW(self.model, settings.lr, betas=(0.9, 0.98)),
            lr=settings.lr, seed=self.seed, evaluate_every=max(1, settings.steps // settings.evaluations),
            callbacks=[ProgressBar()] if self.progress else [],
        )  # fmt: skip
        record = trainer.train()
        seconds = time.perf_counter() - began
        self.save(self.model, "pretrained")
        history = [{"step": 0, **before}]
        history += [{"step": entry["step"], **entry["held_out"]} for entry in record["history"]]
        self.compare(held_out, history, record["best"], seconds)

    def instances(self, stories, dupe_factor):
        """Pairs of segments with masked words, as Google's script makes them."""
        documents = [[self.tokenizer.tokenize(sentence) for sentence in story] for story in stories]
        return create_pretraining_instances(
            documents, self.tokenizer, max_seq_length=self.floor.longest_instance, dupe_factor=dupe_factor,
            short_seq_prob=0, masked_lm_prob=0.15, max_predictions_per_seq=20, whole_word=False,
            rng=random.Random(self.seed),
        )  # fmt: skip

    def compare(self, held_out, history, trained, seconds):
        """Say how good the model is between knowing nothing and knowing the grammar, and draw it."""
        from bertnp import plotting

        hidden = [label for record in held_out for label in record.masked_lm_labels]
        frequencies = unigram_entropy(hidden)
        best = float(np.mean([surprise for record in held_out for surprise in self.floor.surprises(record)]))
        closed = (frequencies - trained["masked_lm_loss"]) / (frequencies - best)
        random_next = np.array([record.is_random_next for record in held_out])
        best_answers = float(np.mean(random_next == [self.floor.follows(record) < 0.5 for record in held_out]))
        guessing = float(max(random_next.mean(), 1 - random_next.mean()))
        answers = trained["next_sentence_accuracy"]
        self.figures["pretraining"] = {
            "hidden_words": len(hidden), "unigram_entropy": frequencies, "loss": trained["masked_lm_loss"],
            "floor": best, "gap_closed": closed, "next_sentence_accuracy": answers,
            "next_sentence_best": best_answers, "next_sentence_guessing": guessing, "seconds": round(seconds, 2),
            "history": history,
        }  # fmt: skip
        self.tell(f"That took {seconds:.0f} s. The mean loss over {len(hidden):,} hidden words of held-out stories, in "
                  "nats:")  # fmt: skip
        V = len(self.tokenizer)
        self.show(f"before training     {history[0]['masked_lm_loss']:5.2f}   about ln {V}: every token is as likely")
        self.show(f"word frequencies    {frequencies:5.2f}   for one who knows how frequent each word is")
        self.show(f"BERT                {trained['masked_lm_loss']:5.2f}")
        self.show(f"the best possible   {best:5.2f}   for one who knows the grammar, worked out exactly")
        self.tell(f"From word frequencies to the best possible BERT has come {closed:.0%} of the way. Whether the "
                  f"second part is how the story goes on it says right in {answers:.0%} of the cases; guessing gives "
                  f"{guessing:.0%}, the best possible is {best_answers:.0%}. See loss.png.")  # fmt: skip
        plotting.loss_and_floor(
            [entry["step"] for entry in history], [entry["masked_lm_loss"] for entry in history],
            {"word frequencies": frequencies, "best possible": best}, self.output / "loss.png",
            [entry["next_sentence_accuracy"] for entry in history],
            {"guessing": guessing, "best possible": best_answers},
        )  # fmt: skip

    def filling(self):
        """Fill in masked words, before the training and after."""
        before, after = (FillMask(model, self.tokenizer)(MASKED, top_k=3) for model in (self.untrained, self.model))
        self.title("4  Filling in words")
        self.show(f"{'':37}{'before':31}after")
        for text, *guesses in zip(MASKED, before, after, strict=True):
            shown = [", ".join(f"{guess['token_str']} {guess['score']:.0%}" for guess in each) for each in guesses]
            self.show(f"{text:37}{shown[0]:31}{shown[1]}")
        self.figures["filled"] = dict(zip(MASKED, after, strict=True))

    def attention(self):
        """Draw where each head looks in a sentence."""
        from bertnp import plotting

        batch = self.tokenizer(ATTENTIVE, return_tensors="np")
        tokens = self.tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
        with inference():
            attentions = self.model(**batch, output_attentions=True).attentions
        attentions = np.stack([to_numpy(layer)[0] for layer in attentions])  # (L, A, S, S)
        plotting.attention(tokens, attentions, self.output / "attention.png")
        looks = attentions[:, :, tokens.index(LOOKS_FROM), tokens.index(LOOKS_AT)]  # (L, A)
        layer, head = np.unravel_index(looks.argmax(), looks.shape)
        self.title("5  Attention")
        self.tell(f"To fill in '{ATTENTIVE}' BERT has to look at the other words; attention.png has a map for each "
                  f"head. Head {head + 1} of layer {layer + 1} looks most from {LOOKS_FROM} at '{LOOKS_AT}', with "
                  f"{looks.max():.0%} of its attention.")  # fmt: skip

    def feelings(self):
        """Fine-tune classifiers on few labels, from scratch and from the pre-trained weights."""
        from tqdm import tqdm

        from bertnp import plotting

        settings = self.settings
        test = self.encode(*feelings(settings.test_sentences, f"test {self.seed}"))
        self.title("6  Fine-tuning")
        self.tell("Does a sentence tell a good feeling or a bad one? A few labelled sentences show few of the words "
                  "for feelings. The same network is trained in the same way, from random weights and from the "
                  f"pre-trained ones. Right answers on {len(test)} new sentences, mean of {settings.seeds} seeds ± "
                  "standard deviation:")  # fmt: skip
        self.show(f"labels   {FROM_SCRATCH:>14}   {PRETRAINED:>14}")
        accuracies, on_labelled = ({side: [] for side in SIDES} for _ in range(2))
        runs = len(settings.labels) * len(SIDES) * settings.seeds
        with tqdm(total=runs, unit="run", leave=False, disable=None if self.progress else True) as bar:
            for count in settings.labels:
                for side in SIDES:
                    accuracies[side].append([])
                    on_labelled[side].append([])
                    for number in range(settings.seeds):
                        seed = 1000 * self.seed + number
                        labelled = self.encode(*feelings(count, f"labelled {seed}"))
                        model = self.classifier(side, labelled, seed)
                        accuracies[side][-1].append(evaluate(model, test)["accuracy"])
                        on_labelled[side][-1].append(evaluate(model, labelled)["accuracy"])
                        bar.update()
                bar.clear()
                last = [np.array(accuracies[side][-1]) for side in SIDES]
                self.show(f"{count:6}" + "".join(f"{each.mean():12.0%} ±{100 * each.std():3.0f}" for each in last))
        self.save(model, "classifier")
        answers = TextClassifier(model, self.tokenizer)(SENTENCES)
        self.tell("See accuracy.png. The last one of the pre-trained says:")
        for text, answer in zip(SENTENCES, answers, strict=True):
            self.show(f"{text}  {answer['label']}, {answer['score']:.1%}")
        self.figures["finetuning"] = {
            "labels": list(settings.labels), "accuracy": accuracies, "accuracy_on_labelled": on_labelled,
            "answers": dict(zip(SENTENCES, answers, strict=True)),
        }  # fmt: skip
        plotting.accuracy_by_labels(settings.labels, accuracies, self.output / "accuracy.png")

    def encode(self, texts, labels):
        return encode_texts(self.tokenizer, texts, labels=labels)

    def classifier(self, side, labelled, seed):
        """A classifier fine-tuned on labelled sentences; only the weights it begins with differ between the sides."""
        settings, model = self.settings, self.fresh_classifier(side, seed)
        epoch = -(-len(labelled) // settings.finetune_batch_size)  # in steps
        steps = max(settings.finetune_steps, settings.finetune_epochs * epoch)
        Trainer(
            model, labelled, steps=steps, evaluate_every=steps, batch_size=settings.finetune_batch_size,
            lr=settings.finetune_lr, seed=seed,
        ).train()  # fmt: skip
        return model

    def fresh_classifier(self, side, seed):
        """The pre-trained network with a classifier in place of its heads, or the same with random weights."""
        model = BertForSequenceClassification(self.model.config.copy(id2label=dict(enumerate(LABELS))), seed=seed)
        if side == PRETRAINED:
            learnt = dict(self.model.named_parameters())
            for name, parameter in model.named_parameters():
                if name in learnt:  # all but the classifier's own two
                    parameter.data = learnt[name].data
        return model

    def end(self):
        """Say what is there now, and what to do with it."""
        texts, labels = feelings(self.settings.labels[-1], f"labelled {1000 * self.seed}")
        lines = [f"{text}\t{LABELS[label]}\n" for text, label in zip(texts, labels, strict=True)]
        write_text(self.output / "feelings.tsv", "sentence\tlabel\n" + "".join(lines))
        folder, bertnp = self.output, program()
        self.title("7  What is there now")
        self.tell(f"That took {sum(self.figures['seconds'].values()):.0f} s. In {folder} there are loss.png, "
                  f"attention.png and accuracy.png, both models, the texts, and {REPORT} with all figures. Go on "
                  "with:")  # fmt: skip
        self.show(f'{bertnp} fill-mask "The wolf [MASK] in the forest." --model {folder / "pretrained"}')
        self.show(f'{bertnp} predict "Juna felt merry." "She felt bitter." --model {folder / "classifier"}')
        self.show(f"{bertnp} finetune {folder / 'feelings.tsv'} --model {folder / 'pretrained'} -o my-classifier "
                  "--epochs 10 --lr 2e-3")  # fmt: skip
        self.show(f"{bertnp} --help")

    def write_figures(self):
        write_text(self.output / REPORT, json.dumps(self.figures, indent=2) + "\n")

    def save(self, model, name):
        model.save_pretrained(self.output / name)
        self.tokenizer.save_pretrained(self.output / name)
