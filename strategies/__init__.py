"""The strategies, one small file each, and what aligns domains, one loss each: named here by one line each.

Nothing is imported until it is asked for, and no strategy imports Keras at module level.
"""

STRATEGIES: dict[str, str] = {
    "scratch": "strategies.scratch:Scratch",
    "feature_extraction": "strategies.feature_extraction:FeatureExtraction",
    "partial_finetune": "strategies.partial_finetune:PartialFinetune",
    "full_finetune": "strategies.full_finetune:FullFinetune",
    "knn": "strategies.knn:NearestNeighbours",
    "nearest_mean": "strategies.nearest_mean:NearestMean",
    "logistic": "strategies.logistic:Logistic",
    "all_layer_probe": "strategies.all_layer_probe:AllLayerProbe",
    "plain_finetune": "strategies.plain_finetune:PlainFinetune",
    "lp_ft": "strategies.lp_ft:LinearProbeFinetune",
    "gradual_unfreeze": "strategies.gradual_unfreeze:GradualUnfreeze",
    "discriminative_lr": "strategies.discriminative_lr:DiscriminativeRates",
    "l2_sp": "strategies.l2_sp:PullToStart",
    "norm_only": "strategies.norm_only:NormOnly",
    "bias_only": "strategies.bias_only:BiasOnly",
    "surgical": "strategies.surgical:Surgical",
    "wise_ft": "strategies.wise_ft:WeightSpaceEnsemble",
    "lora": "strategies.lora:LowRank",
    "hyperrule": "strategies.hyperrule:HyperRule",
    "source_only": "strategies.source_only:SourceOnly",
    "source_and_target": "strategies.source_and_target:SourceAndTarget",
    "source_then_target": "strategies.source_then_target:SourceThenTarget",
    "adabn": "strategies.adabn:AdaptiveBatchNorm",
    "deep_coral": "strategies.deep_coral:DeepCoral",
    "mmd": "strategies.mmd:MeanDiscrepancy",
    "dann": "strategies.dann:DomainAdversarial",
    "cycle_gan": "strategies.cycle_gan:CycleGan",
    "prototypical": "strategies.prototypical:Prototypical",
    "siamese": "strategies.siamese:Siamese",
    "nearest_pixel": "strategies.nearest_pixel:NearestPixel",
    "tf_idf": "strategies.tf_idf:TfIdf",
    "multi_task": "strategies.multi_task:MultiTask",
    "majority": "strategies.majority:Majority",
}
"""Name to ``module:class``."""

ALIGNMENTS = ("dann", "coral", "mmd")
"""The losses that a stage can ask for by ``align``: files of these names in the harness's ``losses/alignment``."""
