"""Backbones: pretrained networks without their classifier, by name.

Only ``build``, ``cuts``, ``heads``, ``fetch`` and ``families`` import Keras: plans are listed without it.
"""
