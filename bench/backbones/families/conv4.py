"""Conv-4: the network that few-shot learning is compared on (Vinyals et al. 2016, arXiv:1606.04080, section 4.1).

Four blocks of a 3 x 3 convolution, batch normalisation, ReLU and 2 x 2 max pooling, as in Snell et al. 2017
(arXiv:1703.05175), whose 28 x 28 images end as one vector of 64 numbers.
"""

from __future__ import annotations

import keras
from keras import layers

BLOCKS = 4


def conv4(x: keras.KerasTensor, filters: int = 64) -> keras.KerasTensor:
    """The feature map of Conv-4 (h/16, w/16, filters) of preprocessed pixels (h, w, 3)."""
    for i in range(1, BLOCKS + 1):
        # A bias would be taken away again by the normalisation.
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"block{i}_conv")(x)
        x = layers.BatchNormalization(name=f"block{i}_norm")(x)
        # The other way round in the paper, which gives the same numbers and is slower.
        x = layers.MaxPooling2D(name=f"block{i}_pool")(x)
        x = layers.ReLU(name=f"block{i}_relu")(x)
    return x
