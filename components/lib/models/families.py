"""Families of published checkpoints: the settings that decide the network, and what differs between them.

Literals alone: preflight reads them where there is no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

IDS = "bos_token_id eos_token_id pad_token_id"
ENCODER = (
    "attention_probs_dropout_prob hidden_act hidden_dropout_prob hidden_size initializer_range "
    "intermediate_size layer_norm_eps max_position_embeddings num_attention_heads num_hidden_layers "
    f"tie_word_embeddings vocab_size {IDS}"
)
BERT = f"{ENCODER} classifier_dropout type_vocab_size use_cache"
DECODER = (
    "attention_dropout hidden_act hidden_size initializer_range intermediate_size max_position_embeddings "
    "num_attention_heads num_hidden_layers num_key_value_heads rms_norm_eps rope_parameters rope_scaling "
    f"rope_theta tie_word_embeddings use_cache vocab_size {IDS}"
)
QWEN = f"{DECODER} layer_types max_window_layers sliding_window use_sliding_window"
STAGES = "out_features out_indices stage_names"
VIT = (
    "attention_probs_dropout_prob hidden_act hidden_dropout_prob hidden_size image_size initializer_range "
    "layer_norm_eps num_attention_heads num_channels num_hidden_layers patch_size qkv_bias"
)

SPEECH = (
    "activation_dropout apply_spec_augment attention_dropout classifier_proj_size conv_bias conv_dim "
    "conv_kernel conv_stride ctc_loss_reduction ctc_zero_infinity do_stable_layer_norm "
    "feat_extract_activation feat_extract_norm feat_proj_dropout final_dropout hidden_act hidden_dropout "
    "hidden_size initializer_range intermediate_size layer_norm_eps layerdrop mask_feature_length "
    "mask_feature_prob mask_time_length mask_time_min_masks mask_time_prob "
    "num_attention_heads num_conv_pos_embedding_groups num_conv_pos_embeddings num_feat_extract_layers "
    "num_hidden_layers"
)
# Of speech models: heads of theirs that are not taken, vocabularies, and masks of the program that they come
# from.
SPEECH_IDLE = (
    "adapter_attn_dim adapter_kernel_size adapter_stride codevector_dim contrastive_logits_temperature "
    "diversity_loss_weight feat_extract_dropout feat_quantizer_dropout freeze_feat_extract_train "
    "hidden_dropout_prob mask_channel_length mask_channel_min_space mask_channel_other mask_channel_prob "
    "mask_channel_selection mask_feature_min_masks mask_time_min_space mask_time_other "
    "mask_time_selection no_mask_channel_overlap no_mask_time_overlap num_adapter_layers "
    "num_codevector_groups num_codevectors_per_group num_ctc_classes num_negatives output_hidden_size "
    "proj_codevector_dim replace_prob tdnn_dilation tdnn_dim tdnn_kernel use_weighted_layer_sum "
    f"vocab_size xvector_output_dim {IDS}"
)


def _head(dense: str, norm: str, bias: str) -> dict[str, str]:
    """The parts of a masked language model's head, by the names that they have in a checkpoint."""
    parts = {f"dense.{kind}": f"{dense}.{kind}" for kind in ("weight", "bias")}
    return {**parts, **{f"norm.{kind}": f"{norm}.{kind}" for kind in ("weight", "bias")}, "bias": bias}


@dataclass(frozen=True)
class Family:
    """One `model_type` of `transformers`.

    Attributes:
        fields: keys of config.json that decide the network; no others are taken.
        dropouts: those of hidden states.
        unkeyed: rates of other random masks, which are not a function of the sample: 0 in pre-training.
        table: the end of the token embedding's name.
        head: part of a language model's head -> its name in a checkpoint.
        offset: positions count from the padding id + 1 (RoBERTa).
        idle: keys that decide nothing here, besides those that none of any family does.
        fixed: keys that would change the network, with the only value that is built here.
    """

    fields: frozenset[str]
    dropouts: tuple[str, ...] = ("hidden_dropout_prob",)
    unkeyed: tuple[str, ...] = ("attention_probs_dropout_prob",)
    table: str = "embeddings.word_embeddings.weight"
    head: Mapping[str, str] = field(default_factory=dict)
    offset: bool = False
    idle: frozenset[str] = frozenset()
    fixed: Mapping[str, object] = field(default_factory=dict)


def _fields(*parts: str) -> frozenset[str]:
    return frozenset(" ".join(parts).split())


def _llama(*fields: str) -> Family:
    return Family(_fields(*fields), (), ("attention_dropout",), "embed_tokens.weight", _DECODER)


def _speech(*fields: str) -> Family:
    return Family(
        _fields(SPEECH, *fields),
        ("hidden_dropout", "activation_dropout", "feat_proj_dropout"),
        ("attention_dropout", "layerdrop"),
        "",
        idle=_fields(SPEECH_IDLE),
        fixed={"add_adapter": False, "conv_pos_batch_norm": False},
    )


_LM_HEAD = _head("lm_head.dense", "lm_head.layer_norm", "lm_head.bias")
_DECODER = {"decoder.weight": "lm_head.weight"}
FAMILIES = {
    "bert": Family(
        _fields(BERT),
        head=_head(
            "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"
        ),
    ),
    "roberta": Family(_fields(BERT), head=_LM_HEAD, offset=True),
    "distilbert": Family(
        _fields(
            "activation attention_dropout dim dropout hidden_dim initializer_range max_position_embeddings",
            "n_heads n_layers qa_dropout seq_classif_dropout sinusoidal_pos_embds tie_word_embeddings",
            f"vocab_size {IDS}",
        ),
        dropouts=("dropout",),
        unkeyed=("attention_dropout",),
        head=_head("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
    ),
    "electra": Family(
        _fields(BERT, "embedding_size summary_activation summary_last_dropout summary_type summary_use_proj"),
        head=_head(
            "generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias"
        ),
    ),
    "mpnet": Family(_fields(ENCODER, "relative_attention_num_buckets"), head=_LM_HEAD, offset=True),
    "modernbert": Family(
        _fields(
            "attention_bias attention_dropout classifier_activation classifier_bias classifier_dropout",
            "classifier_pooling cls_token_id decoder_bias deterministic_flash_attn embedding_dropout",
            "global_attn_every_n_layers global_rope_theta hidden_activation hidden_size",
            "initializer_cutoff_factor initializer_range intermediate_size layer_types local_attention",
            "local_rope_theta max_position_embeddings mlp_bias mlp_dropout norm_bias norm_eps",
            "num_attention_heads num_hidden_layers rope_parameters sep_token_id sparse_pred_ignore_index",
            f"sparse_prediction tie_word_embeddings vocab_size {IDS}",
        ),
        dropouts=("mlp_dropout", "embedding_dropout"),
        unkeyed=("attention_dropout",),
        table="embeddings.tok_embeddings.weight",
        head=_head("head.dense", "head.norm", "decoder.bias"),
    ),
    "gpt2": Family(
        _fields(
            "activation_function attn_pdrop embd_pdrop initializer_range layer_norm_epsilon n_embd n_head",
            "n_inner n_layer n_positions reorder_and_upcast_attn resid_pdrop",
            "scale_attn_by_inverse_layer_idx scale_attn_weights summary_activation summary_first_dropout",
            "summary_proj_to_labels summary_type summary_use_proj tie_word_embeddings use_cache",
            f"vocab_size {IDS}",
        ),
        dropouts=("resid_pdrop", "embd_pdrop"),
        unkeyed=("attn_pdrop",),
        table="wte.weight",
        head=_DECODER,
    ),
    "llama": _llama(DECODER, "attention_bias head_dim mlp_bias pretraining_tp"),
    "qwen2": _llama(QWEN),
    "qwen3": _llama(QWEN, "attention_bias head_dim"),
    "vit": Family(_fields(VIT, "encoder_stride intermediate_size pooler_act pooler_output_size"), table=""),
    "dinov2": Family(
        _fields(
            VIT,
            "apply_layernorm drop_path_rate layerscale_value mlp_ratio reshape_hidden_states",
            "use_mask_token use_swiglu_ffn",
            STAGES,
        ),
        unkeyed=("attention_probs_dropout_prob", "drop_path_rate"),
        table="",
    ),
    "resnet": Family(
        _fields(
            "depths downsample_in_bottleneck downsample_in_first_stage embedding_size hidden_act",
            "hidden_sizes layer_type num_channels",
            STAGES,
        ),
        (),
        (),
        "",
    ),
    "convnext": Family(
        _fields(
            "depths drop_path_rate hidden_act hidden_sizes image_size initializer_range layer_norm_eps",
            "layer_scale_init_value num_channels num_stages patch_size",
            STAGES,
        ),
        (),
        ("drop_path_rate",),
        "",
    ),
    "wav2vec2": _speech(),
    "hubert": _speech("feat_proj_layer_norm"),
    "wavlm": _speech("num_buckets max_bucket_distance"),
}
