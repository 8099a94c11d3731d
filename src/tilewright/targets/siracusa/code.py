"""How much machine code the kernels' calls pass through: lines of the instruction cache in traces of the simulator.

Where code is not in the cache, the cores wait for it about as many cycles as it has bytes. Small networks spend a
third of their time so; the layers of a decoder fit into the cache. What kernels of a file share counts with one of
them.
"""

from __future__ import annotations

from ..base import CodeCache

_BYTES = {
    "tw_add_bytes": 240,
    "tw_attend_few": 736,
    "tw_attend_long": 1008,
    "tw_attend_row": 944,
    "tw_attend_row_pairs": 944,
    "tw_attend_rows": 1024,
    "tw_cluster_append_channels": 144,
    "tw_cluster_append_rows": 64,
    "tw_cluster_attention": 1088,
    "tw_cluster_average_pool_f32": 640,
    "tw_cluster_conv2d": 2304,
    "tw_cluster_conv2d_f32": 1216,
    "tw_cluster_conv2d_residual_f32": 1216,
    "tw_cluster_depthwise": 2272,
    "tw_cluster_embed": 112,
    "tw_cluster_gated_sums": 144,
    **{f"tw_cluster_gated_sums_{shift}": 140 for shift in range(11, 17)},
    "tw_cluster_max_pool_f32": 576,
    "tw_cluster_max_pool_i8": 640,
    "tw_cluster_max_pool_u8": 640,
    "tw_cluster_rmsnorm_row": 350,
    "tw_cluster_rest_add": 112,
    "tw_cluster_scaled_add": 96,
    "tw_cluster_turned_heads": 320,
    "tw_eights_join": 352,
    "tw_enter_row": 464,
    "tw_few_sums": 240,
    "tw_float_pair": 448,
    "tw_gate_rows": 320,
    "tw_gemm_bytes": 1050,
    "tw_gemm_f32": 1200,
    "tw_gemm_join": 352,
    "tw_gemv_i8": 768,
    "tw_heads_rows": 676,
    "tw_join_pairs": 96,
    "tw_join_tables": 160,
    "tw_layer_norm_rows_f32": 320,
    "tw_multiply_bytes": 208,
    "tw_multiply_pairs": 80,
    "tw_new_heads": 800,
    "tw_pad_part": 896,
    "tw_product_f32": 1904,
    "tw_prompt_attention": 1360,
    "tw_rest_join": 150,
    "tw_rms_norm_one": 190,
    "tw_rms_norm_row": 240,
    "tw_rms_norm_rows": 260,
    "tw_rows_join": 176,
    "tw_rows_part": 64,
    "tw_shared_attention_16": 928,
    "tw_shared_attention_one": 1000,
    "tw_shared_attention_two": 1200,
    "tw_softmax_rows_f32": 608,
    "tw_stream_add": 112,
    "tw_stream_bytes": 320,
    "tw_stream_gate": 512,
    "tw_stream_multiples": 96,
    "tw_stream_sums": 272,
    "tw_strided_part": 592,
    "tw_table": 80,
    "tw_turn_heads": 336,
    "tw_turn_rows": 272,
    "tw_unary_exponential_f32": 896,
    "tw_unary_simple_f32": 320,
}

CODE = CodeCache(bytes=4096, fetch=1.0, phase=42, argument=4.6, kernels=_BYTES, other=500, added=1.2)
