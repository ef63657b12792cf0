"""How fast is bertnp, beside others on the same machine, doing the same work? `bertnp bench` measures it.

Each side runs in fresh processes, in turns: `ours` is bertnp, the modules called ..._peer are what it is compared with.
Only they import another framework, and nothing imports them: they run as programs of their own. All sides get the same
weights and the same batches, as files, and answer with times, peak memory and a result that must agree.
"""
