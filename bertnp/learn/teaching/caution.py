"""What a teacher should know before others' code runs on the computer."""

NO_SANDBOX = """\
Grading runs the students' code. Processes, limits and comparisons hold off mistakes and plain cheating, but they are
no sandbox: code that means harm can read what you can read, write what you can write, and forge its marks. If you do
not know the class, run the grading in a container without network that can write to one folder only."""

IN_A_CONTAINER = """\
with podman or docker, in an image that has bertnp (FROM python:3.12-slim, then RUN pip install bertnp):

  podman run --rm --network none --read-only --tmpfs /tmp --cap-drop ALL --memory 8g --pids-limit 256 \\
    -v "$PWD/submissions.zip:/in.zip:ro" -v "$PWD/out:/out" IMAGE \\
    bertnp teach grade /in.zip --csv /out/grades.csv --reports /out/reports

with bubblewrap, on Linux, from a folder that has .venv, submissions.zip and an empty folder out in it:

  bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --tmpfs /home --ro-bind "$PWD" "$PWD" \\
    --bind "$PWD/out" "$PWD/out" --unshare-all --die-with-parent --new-session \\
    .venv/bin/bertnp teach grade submissions.zip --csv out/grades.csv --reports out/reports"""

COPIED = """\
The library holds the answers, so that a student who has skipped an exercise can do the next. Code that calls the
library's function, or reads its file, is refused. Code that was copied word for word is pointed out, and so are names
that lead to the library's code; what was copied and altered can't be told from honest work. Where that matters, ask for
two sentences on how each line was derived, or set the exercises that have no answer in the library."""
