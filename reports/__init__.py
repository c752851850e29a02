"""From records to answers: tables, statistics, figures and the page that a person reads.

Knows records (``bench.records``) and nothing of training: no module here imports TensorFlow, Keras or a
strategy. Data flow one way: ``tables -> statistics -> questions -> pages -> html``.
"""
