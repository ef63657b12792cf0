"""bertnp: BERT written out by hand in NumPy and CuPy, every backward pass included."""
