"""BERT and the Transformer: configuration, models, heads, pretrained files."""
