"""Find the texts of a file that are most like a query, by the cosine of their vectors.

Output is one line a text, the most alike first: cosine, line or row number, and text with tabs between them; or a JSON
object for each.
"""

import json
import sys

from bertnp.cli.arguments import add_device_arguments, add_model_argument, add_table_arguments, note_cut, number
from bertnp.cli.embed import add_encoder_arguments, load_encoder
from bertnp.cli.texts import check_texts, keeps_every_letter, one_line_each, read_texts

EXAMPLES = """\
examples:
  bertnp similar "a moving love story" reviews.txt --model sentence-model
  bertnp similar "battery life" reviews.csv --text review --top-k 20 --model sentence-model --format jsonl
  bertnp similar "what is a token?" - --model sentence-model < answers.txt
"""


def add_arguments(parser):
    parser.add_argument("query", metavar="QUERY", help="a text")
    parser.add_argument("file", metavar="FILE", help="the texts to rank, from TSV, CSV or JSON lines; or, of a .txt "
                        "file without --text, one from each line; - reads standard input")  # fmt: skip
    add_model_argument(parser)
    parser.add_argument("--top-k", type=number(int, 1), default=10, metavar="K", help="how many (default: 10)")
    parser.add_argument("--prompt", metavar="TEXT", help="put before each text (default: as the model says)")
    parser.add_argument("--query-prompt", metavar="TEXT", help="put before the query (default: as the model says)")
    add_encoder_arguments(parser)
    add_table_arguments(parser, labelled=False, pairs=False)
    parser.add_argument("--format", choices=("text", "jsonl"), default="text", help="of the output (default: text)")
    add_device_arguments(parser)


def run(args):
    check_texts([args.query])
    args.texts = []
    texts = [text for chunk, _ in read_texts(args) for text in chunk]
    encoder = load_encoder(args)
    query_prompt, prompt = encoder.ranking_prompts(args.query_prompt, args.prompt)
    note_cut(encoder.tokenize([args.query], query_prompt), encoder.max_length, "queries")
    note_cut(encoder.tokenize(texts, prompt), encoder.max_length, "texts")
    found = encoder.rank(args.query, texts, args.top_k, query_prompt, prompt, progress=True)
    for result in found:
        place = result["index"] + 1
        if args.format == "jsonl":
            record = {"score": result["score"], "row": place, "text": result["text"]}
            print(json.dumps(record, ensure_ascii=not keeps_every_letter(sys.stdout)))
        else:
            print("\t".join([f"{result['score']:.4f}", str(place), *one_line_each(result["text"])]))
