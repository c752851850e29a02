"""Small models as the Hugging Face hub has them, with random weights, and what numpy makes of them.

Nothing here is shared with ``bench``: names, shapes and arithmetic are those of the original papers and files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import erf

WORDS = [
    *("the", "a", "cat", "dog", "sat", "on", "mat", "ran", "far", "away"),
    *("from", "home", "and", "never", "came", "back", "again"),
]
TEXTS = (
    "cat",
    "the dog ran",
    "the cat sat on the mat and never came back again from a far away home",
    "a dog",
)
WIDTH, INNER, LAYERS, HEADS, TOKENS = 16, 32, 3, 2, 32
PATCH, SIDE = 8, 32

Tensors = dict[str, np.ndarray]

BERT_LAYER = {
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "out": "attention.output.dense", "norm1": "attention.output.LayerNorm",
    "inner": "intermediate.dense", "outer": "output.dense", "norm2": "output.LayerNorm",
}  # fmt: skip
DISTILBERT_LAYER = {
    "query": "attention.q_lin", "key": "attention.k_lin", "value": "attention.v_lin",
    "out": "attention.out_lin", "norm1": "sa_layer_norm",
    "inner": "ffn.lin1", "outer": "ffn.lin2", "norm2": "output_layer_norm",
}  # fmt: skip
MPNET_LAYER = {
    **BERT_LAYER, "query": "attention.attn.q", "key": "attention.attn.k", "value": "attention.attn.v",
    "out": "attention.attn.o", "norm1": "attention.LayerNorm",
}  # fmt: skip
VIT_LAYER = {
    "query": "attention.attention.query", "key": "attention.attention.key", "value": "attention.attention.value",
    "out": "attention.output.dense", "norm1": "layernorm_before",
    "inner": "intermediate.dense", "outer": "output.dense", "norm2": "layernorm_after",
}  # fmt: skip
DINOV2_LAYER = {**VIT_LAYER, "norm1": "norm1", "norm2": "norm2", "inner": "mlp.fc1", "outer": "mlp.fc2"}

LAYER: dict[str, tuple[str, dict[str, str]]] = {
    "bert": ("bert.encoder.layer", BERT_LAYER),
    "electra": ("electra.encoder.layer", BERT_LAYER),
    "roberta": ("roberta.encoder.layer", BERT_LAYER),
    "distilbert": ("distilbert.transformer.layer", DISTILBERT_LAYER),
    "mpnet": ("mpnet.encoder.layer", MPNET_LAYER),
    "vit": ("vit.encoder.layer", VIT_LAYER),
    "deit": ("deit.encoder.layer", VIT_LAYER),
    "dinov2": ("encoder.layer", DINOV2_LAYER),
    "dinov2_with_registers": ("encoder.layer", DINOV2_LAYER),
}
ROBERTA_LIKE = ("roberta", "mpnet")
BUCKETS = 32
TEXT_KINDS, IMAGE_KINDS = list(LAYER)[:5], list(LAYER)[5:]


def config(kind: str) -> dict[str, Any]:
    """A ``config.json``."""
    if kind == "distilbert":
        shape = {"dim": WIDTH, "hidden_dim": INNER, "n_layers": LAYERS, "n_heads": HEADS}
    else:
        shape = {
            "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
        }  # fmt: skip
    if kind in IMAGE_KINDS:
        more: dict[str, Any] = {"patch_size": PATCH, "image_size": SIDE, "layer_norm_eps": 1e-6}
        if kind.startswith("dinov2"):
            more |= {"mlp_ratio": INNER // WIDTH}
        if kind == "dinov2_with_registers":
            more |= {"num_register_tokens": 3}
    else:
        pad = int(kind in ROBERTA_LIKE)
        more = {
            "vocab_size": len(WORDS) + 5, "max_position_embeddings": TOKENS + 2 * pad, "pad_token_id": pad,
        }  # fmt: skip
        more |= {"embedding_size": 8} if kind == "electra" else {}
        more |= {"layer_norm_eps": 1e-5} if kind in ROBERTA_LIKE else {}
        more |= {"relative_attention_num_buckets": BUCKETS} if kind == "mpnet" else {}
    return {"model_type": kind, **shape, **more}


def tensors(kind: str, seed: int = 0) -> Tensors:
    """Random weights by the names of the files, large enough that nothing of them is without effect."""
    rng = np.random.default_rng(seed)

    def random(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    def dense(name: str, outputs: int, inputs: int) -> Tensors:
        return {f"{name}.weight": random(outputs, inputs), f"{name}.bias": random(outputs)}

    def norm(name: str, width: int) -> Tensors:
        return {f"{name}.weight": 1 + random(width), f"{name}.bias": random(width)}

    found = config(kind)
    path, names = LAYER[kind]
    start = path.split("encoder")[0].split("transformer")[0] + "embeddings"
    result: Tensors = {}
    for i in range(LAYERS):
        sizes = {"inner": (INNER, WIDTH), "outer": (WIDTH, INNER)}
        for part, name in names.items():
            full = f"{path}.{i}.{name}"
            is_norm = part.startswith("norm")
            result |= norm(full, WIDTH) if is_norm else dense(full, *sizes.get(part, (WIDTH, WIDTH)))
        if kind.startswith("dinov2"):
            result |= {f"{path}.{i}.layer_scale{k}.lambda1": 1 + random(WIDTH) for k in (1, 2)}
    if kind in IMAGE_KINDS:
        patches = (SIDE // PATCH) ** 2
        result |= {
            f"{start}.cls_token": random(1, 1, WIDTH),
            f"{start}.position_embeddings": random(1, patches + 1 + (kind == "deit"), WIDTH),
            f"{start}.patch_embeddings.projection.weight": 0.1 * random(WIDTH, 3, PATCH, PATCH),
            f"{start}.patch_embeddings.projection.bias": random(WIDTH),
        } | norm(f"{start.removesuffix('embeddings')}layernorm", WIDTH)
        if kind == "deit":
            result[f"{start}.distillation_token"] = random(1, 1, WIDTH)
        if kind == "dinov2_with_registers":
            result[f"{start}.register_tokens"] = random(1, 3, WIDTH)
        return result
    width = found.get("embedding_size", WIDTH)
    result |= norm(f"{start}.LayerNorm", width)
    result[f"{start}.word_embeddings.weight"] = random(found["vocab_size"], width)
    result[f"{start}.position_embeddings.weight"] = random(found["max_position_embeddings"], width)
    if kind == "mpnet":
        result["mpnet.encoder.relative_attention_bias.weight"] = random(BUCKETS, HEADS)
    elif kind != "distilbert":
        result[f"{start}.token_type_embeddings.weight"] = random(2, width)
    if kind == "electra":
        result |= dense("electra.embeddings_project", WIDTH, width)
    # What a language model has beside its encoder.
    return result | norm("cls.predictions.transform.LayerNorm", WIDTH) | dense("pooler.dense", WIDTH, WIDTH)


def write_tokenizer(path: Path, pad: int) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    special = ["[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    special.insert(pad, "[PAD]")
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    made = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    made.save(str(path))


def write_folder(folder: Path, kind: str, weights: Tensors | None = None, **changes: Any) -> Path:
    """A folder as the hub has them.

    Args:
        folder: it is made.
        kind: a ``model_type``.
        weights: default: random ones.
        changes: of ``config.json``.
    """
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    found = {**config(kind), **changes}
    (folder / "config.json").write_text(json.dumps(found))
    save_file(tensors(kind) if weights is None else weights, folder / "model.safetensors")
    if kind in IMAGE_KINDS:
        processor = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "rescale_factor": 1 / 255}
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    else:
        write_tokenizer(folder / "tokenizer.json", found["pad_token_id"])
    return folder


# --- what numpy makes of them --------------------------------------------------------------------------------


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def gelu_new(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


class Reference:
    """The network of a kind, in float64.

    Args:
        kind: a ``model_type``.
        weights: by the names of the files.
        activation: of the feed-forward layers.
    """

    def __init__(
        self, kind: str, weights: Tensors, activation: Callable[[np.ndarray], np.ndarray] = gelu
    ) -> None:
        self.kind, self.activation = kind, activation
        self.weights = {name: value.astype(np.float64) for name, value in weights.items()}
        self.config = config(kind)
        self.path, self.names = LAYER[kind]
        self.start = self.path.split("encoder")[0].split("transformer")[0] + "embeddings"

    def dense(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        epsilon = self.config.get("layer_norm_eps", 1e-12)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, name: Callable[[str], str], x: np.ndarray) -> np.ndarray:
        query, key, value = (
            self.dense(name(part), x).reshape(len(x), HEADS, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / np.sqrt(WIDTH // HEADS) + self.near(len(x))
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        seen = powers / powers.sum(-1, keepdims=True) @ value
        return self.dense(name("out"), seen.swapaxes(0, 1).reshape(len(x), WIDTH))

    def near(self, count: int) -> np.ndarray | float:
        """What distances add to the scores of attention (heads, tokens, tokens), as Raffel et al. 2020 do."""
        if self.kind != "mpnet":
            return 0.0
        apart = np.arange(count)[None, :] - np.arange(count)[:, None]
        half, far = BUCKETS // 2, np.abs(apart)
        exact = half // 2
        steps = np.log(np.maximum(far, 1) / exact) / np.log(128 / exact) * (half - exact)
        bucket = np.where(far < exact, far, np.minimum(exact + (steps + 1e-9).astype(int), half - 1))
        table = self.weights["mpnet.encoder.relative_attention_bias.weight"]
        return table[bucket + half * (apart > 0)].transpose(2, 0, 1)

    def text(self, numbers: list[int]) -> np.ndarray:
        """The hidden states (tokens, width) of one text, with nothing that fills up."""
        first = 2 if self.kind in ROBERTA_LIKE else 0
        x = self.weights[f"{self.start}.word_embeddings.weight"][numbers]
        x = x + self.weights[f"{self.start}.position_embeddings.weight"][first : first + len(numbers)]
        if self.kind not in ("distilbert", "mpnet"):
            x = x + self.weights[f"{self.start}.token_type_embeddings.weight"][0]
        x = self.norm(f"{self.start}.LayerNorm", x)
        if self.kind == "electra":
            x = self.dense("electra.embeddings_project", x)
        for i in range(LAYERS):

            def name(part: str, i: int = i) -> str:
                return f"{self.path}.{i}.{self.names[part]}"

            x = self.norm(name("norm1"), x + self.attention(name, x))
            inner = self.activation(self.dense(name("inner"), x))
            x = self.norm(name("norm2"), x + self.dense(name("outer"), inner))
        return x

    def image(self, pixels: np.ndarray) -> np.ndarray:
        """The tokens of one image (SIDE, SIDE, 3) of pixels from 0 to 255: first those without a place."""
        x = (pixels.astype(np.float64) / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]
        side = SIDE // PATCH
        patches = x.reshape(side, PATCH, side, PATCH, 3).transpose(0, 2, 4, 1, 3).reshape(side * side, -1)
        kernel = self.weights[f"{self.start}.patch_embeddings.projection.weight"].reshape(WIDTH, -1)
        tokens = patches @ kernel.T + self.weights[f"{self.start}.patch_embeddings.projection.bias"]
        special = [self.weights[f"{self.start}.cls_token"][0]]
        if self.kind == "deit":
            special.append(self.weights[f"{self.start}.distillation_token"][0])
        x = np.concatenate([*special, tokens]) + self.weights[f"{self.start}.position_embeddings"][0]
        if self.kind == "dinov2_with_registers":
            x = np.concatenate([x[:1], self.weights[f"{self.start}.register_tokens"][0], x[1:]])
        for i in range(LAYERS):

            def name(part: str, i: int = i) -> str:
                return f"{self.path}.{i}.{self.names[part]}"

            def scale(number: int, i: int = i) -> Any:
                return self.weights.get(f"{self.path}.{i}.layer_scale{number}.lambda1", 1.0)

            x = x + scale(1) * self.attention(name, self.norm(name("norm1"), x))
            inner = self.activation(self.dense(name("inner"), self.norm(name("norm2"), x)))
            x = x + scale(2) * self.dense(name("outer"), inner)
        return self.norm(f"{self.start.removesuffix('embeddings')}layernorm", x)
