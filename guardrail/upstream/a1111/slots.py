"""Names of the AUTOMATIC1111 API: pictures, prompts and settings, and which settings a call may change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from guardrail.upstream.slots import Vocabulary

PROMPTS = frozenset({"prompt", "negative_prompt", "hr_prompt", "hr_negative_prompt"})
IMAGES = frozenset({"init_images", "image", "imageList", "controlnet_images", "controlnet_input_images"})
"""Fields of the pictures that a call is about, in the order they came."""
PICTURES = IMAGES | {
    "controlnet_masks",
    "firstpass_image",
    "images",
    "init_control",
    "latent_mask",
    "mask",
}
IDENTIFIERS = frozenset(
    {
        "force_task_id",
        "hr_checkpoint_name",
        "hr_sampler_name",
        "hr_scheduler",
        "hr_upscaler",
        "id_task",
        "model",
        "refiner_checkpoint",
        "sampler_index",
        "sampler_name",
        "scheduler",
        "upscaler_1",
        "upscaler_2",
    }
)
SWITCHES = {
    # What is saved on the server and not sent back, nobody judges; a setting that stays would hold for others too.
    "send_images": True,
    "save_images": False,
    "override_settings_restore_afterwards": True,
    "live_preview": False,
}
"""Switches of a call, and the one value that is sent on."""

KNOWN = PROMPTS | PICTURES | IDENTIFIERS | SWITCHES.keys() | {"styles", "alwayson_scripts", "script_args", "infotext"}

NAMES = Vocabulary(
    pictures=PICTURES,
    file_ids=frozenset(),
    identifiers=IDENTIFIERS,
    prompts=PROMPTS,
    plain=re.compile(r"(?:none|auto|automatic|both|true|false|original|random|balanced|linear)?", re.IGNORECASE),
)

# Wherever these stand, also in the arguments of scripts, a picture is meant and a file name would be one of the server.
PICTURE_LEAVES = PICTURES | {
    "input_image",
    "mask_image",
    "mask_image_fg",
    "masks",
    "source_image",
    "source_images",
    "target_image",
    "ip_adapter_image",
}
PLACES = re.compile(r"(?:^|_)(?:dir|directory|folder|path|file|filename|filepath)$|^outpath|^batch_images$|^outdir")
"""Names of fields that say where on the server something is."""
A_PLACE = re.compile(
    r"/|~|\.\.?[\\/]|[A-Za-z]:[\\/]|\\\\|.{0,4096}\.(?:png|jpe?g|jfif|webp|bmp|gif|tiff?|avif|heic|mp4|webm)\Z",
    re.IGNORECASE | re.DOTALL,
)
"""How the name of a file or folder of the server begins or ends."""

_SAVING = """
    samples_save grid_save save_txt save_init_img save_mask save_mask_composite save_incomplete_images
    save_images_before_color_correction save_images_before_face_restoration save_images_before_highres_fix
    live_previews_enable
"""
_COMPUTING = """
    sd_model_checkpoint sd_checkpoint_hash sd_vae sd_unet sd_model_refiner CLIP_stop_at_last_layers eta_ancestral
    eta_ddim eta_noise_seed_delta ddim_discretize s_churn s_min_uncond s_noise s_tmax s_tmin k_sched_type rho
    sigma_max sigma_min sgm_noise_multiplier skip_early_cond sd_noise_schedule always_discard_next_to_last_sigma
    uni_pc_order uni_pc_skip_type uni_pc_variant beta_dist_alpha beta_dist_beta randn_source upcast_attn
    upcast_sampling cross_attention_optimization fp8_storage cache_fp16_weight token_merging_ratio
    token_merging_ratio_hr token_merging_ratio_img2img pad_cond_uncond pad_cond_uncond_v0 emphasis enable_emphasis
    enable_batch_seeds comma_padding_backtrack use_old_emphasis_implementation use_old_scheduling
    use_old_karras_scheduler_sigmas sdxl_crop_left sdxl_crop_top sdxl_refiner_high_aesthetic_score
    sdxl_refiner_low_aesthetic_score sd3_enable_t5 tiling face_restoration face_restoration_model code_former_weight
    img2img_background_color img2img_color_correction img2img_extra_noise img2img_fix_steps initial_noise_multiplier
    inpainting_mask_weight sd_vae_overrides_per_model_preferences sd_vae_encode_method sd_vae_decode_method
    return_mask return_mask_composite samples_format grid_format jpeg_quality webp_lossless enable_pnginfo
    return_grid ESRGAN_tile ESRGAN_tile_overlap DAT_tile DAT_tile_overlap SWIN_tile SWIN_tile_overlap
    upscaler_for_img2img show_progress_every_n_steps live_preview_refresh_period lora_functional
    extra_networks_default_multiplier forge_additional_modules forge_async_loading forge_inference_memory
    forge_pin_shared_memory forge_preset forge_unet_storage_dtype
"""
SAVING = frozenset(_SAVING.split())
"""Settings that make the server keep or show more than it answers: sent on as false."""
SETTINGS = SAVING | frozenset(_COMPUTING.split())
"""Settings that a call may change without asking the operator: how a picture is computed, not what becomes of it."""


@dataclass(frozen=True)
class Rules:
    """What the operator says. `styles`: the text of each style of the server that callers may name. `settings`: further
    settings that calls may change. `scripts`: the scripts that calls may use, in lower case; None for any, judged by
    what their arguments hold."""

    styles: Mapping[str, str] = field(default_factory=dict, repr=False)
    settings: frozenset[str] = frozenset()
    scripts: frozenset[str] | None = None
