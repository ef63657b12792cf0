"""The exercises: each module of this folder has a list EXERCISES of a few chapters.

A new one needs a paragraph at the end of its chapter, with its number and its command; a stub in bertnp.learn.stubs,
unless the library has the function; and a judge, see bertnp.learn.judges. Where the library has no answer, it and the
common wrong ones stand in tests/learn/answers.py, and tests/learn/make_expected.py stores their outputs.
"""
