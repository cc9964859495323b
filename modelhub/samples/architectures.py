"""Tensor names and shapes of well-known architectures, as their authors name them; sizes follow from few numbers."""

from collections.abc import Iterator, Sequence

Shape = tuple[int, ...]
Tensors = dict[str, Shape]


def _affine(name: str, *shape: int) -> Tensors:
    return {f"{name}.weight": shape, f"{name}.bias": (shape[0],)}


def _norm(name: str, width: int) -> Tensors:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _attention(name: str, width: int, context: int) -> Tensors:
    shapes: Tensors = {f"{name}.to_q.weight": (width, width)}
    shapes |= {f"{name}.to_{part}.weight": (width, context) for part in ("k", "v")}
    return shapes | _affine(f"{name}.to_out.0", width, width)


def _transformer(name: str, width: int, context: int, depth: int, *, linear: bool) -> Tensors:
    kernel = () if linear else (1, 1)
    shapes = _norm(f"{name}.norm", width) | _affine(f"{name}.proj_in", width, width, *kernel)
    for number in range(depth):
        block = f"{name}.transformer_blocks.{number}"
        shapes |= _attention(f"{block}.attn1", width, width) | _attention(f"{block}.attn2", width, context)
        shapes |= _affine(f"{block}.ff.net.0.proj", 8 * width, width) | _affine(f"{block}.ff.net.2", width, 4 * width)
        for norm in ("norm1", "norm2", "norm3"):
            shapes |= _norm(f"{block}.{norm}", width)
    return shapes | _affine(f"{name}.proj_out", width, width, *kernel)


def _residual(name: str, inner: int, outer: int, time: int) -> Tensors:
    shapes = _norm(f"{name}.in_layers.0", inner) | _affine(f"{name}.in_layers.2", outer, inner, 3, 3)
    shapes |= _affine(f"{name}.emb_layers.1", outer, time)
    shapes |= _norm(f"{name}.out_layers.0", outer) | _affine(f"{name}.out_layers.3", outer, outer, 3, 3)
    return shapes | (_affine(f"{name}.skip_connection", outer, inner, 1, 1) if inner != outer else {})


def ldm_unet(*, xl: bool = False, in_channels: int = 4, prefix: str = "model.diffusion_model.") -> Tensors:
    """The UNet of Stable Diffusion 1 or, with `xl`, of SDXL, as CompVis's code names it."""
    context, depths = (2048, (0, 2, 10)) if xl else (768, (1, 1, 1, 0))
    widths = [320 * factor for factor in ((1, 2, 4) if xl else (1, 2, 4, 4))]
    shapes = _affine("time_embed.0", 1280, 320) | _affine("time_embed.2", 1280, 1280)
    if xl:
        shapes |= _affine("label_emb.0.0", 1280, 2816) | _affine("label_emb.0.2", 1280, 1280)
    shapes |= _affine("input_blocks.0.0", 320, in_channels, 3, 3)
    skips, number, width = [320], 1, 320
    for level, outer in enumerate(widths):
        for _ in range(2):
            shapes |= _residual(f"input_blocks.{number}.0", width, outer, 1280)
            width = outer
            if depths[level]:
                shapes |= _transformer(f"input_blocks.{number}.1", width, context, depths[level], linear=xl)
            skips.append(width)
            number += 1
        if level < len(widths) - 1:
            shapes |= _affine(f"input_blocks.{number}.0.op", width, width, 3, 3)
            skips.append(width)
            number += 1
    shapes |= _residual("middle_block.0", width, width, 1280) | _residual("middle_block.2", width, width, 1280)
    shapes |= _transformer("middle_block.1", width, context, depths[-1] or 1, linear=xl)
    number = 0
    for level, outer in reversed(list(enumerate(widths))):
        for step in range(3):
            shapes |= _residual(f"output_blocks.{number}.0", width + skips.pop(), outer, 1280)
            width = outer
            if depths[level]:
                shapes |= _transformer(f"output_blocks.{number}.1", width, context, depths[level], linear=xl)
            if level and step == 2:
                place = 2 if depths[level] else 1
                shapes |= _affine(f"output_blocks.{number}.{place}.conv", width, width, 3, 3)
            number += 1
    shapes |= _norm("out.0", 320) | _affine("out.2", 4, 320, 3, 3)
    return {prefix + name: shape for name, shape in shapes.items()}


def _autoencoder_block(name: str, inner: int, outer: int) -> Tensors:
    shapes = _norm(f"{name}.norm1", inner) | _affine(f"{name}.conv1", outer, inner, 3, 3)
    shapes |= _norm(f"{name}.norm2", outer) | _affine(f"{name}.conv2", outer, outer, 3, 3)
    return shapes | (_affine(f"{name}.nin_shortcut", outer, inner, 1, 1) if inner != outer else {})


def _autoencoder_middle(side: str) -> Tensors:
    shapes = _autoencoder_block(f"{side}.mid.block_1", 512, 512) | _autoencoder_block(f"{side}.mid.block_2", 512, 512)
    for part in ("q", "k", "v", "proj_out"):
        shapes |= _affine(f"{side}.mid.attn_1.{part}", 512, 512, 1, 1)
    return shapes | _norm(f"{side}.mid.attn_1.norm", 512)


def vae(latents: int = 4, prefix: str = "") -> Tensors:
    """The autoencoder of Stable Diffusion (4 latent channels) or FLUX (16)."""
    shapes = _affine("encoder.conv_in", 128, 3, 3, 3) | _autoencoder_middle("encoder") | _autoencoder_middle("decoder")
    width = 128
    for level, outer in enumerate((128, 256, 512, 512)):
        for block in range(2):
            shapes |= _autoencoder_block(f"encoder.down.{level}.block.{block}", width, outer)
            width = outer
        if level < 3:
            shapes |= _affine(f"encoder.down.{level}.downsample.conv", outer, outer, 3, 3)
    shapes |= _norm("encoder.norm_out", 512) | _affine("encoder.conv_out", 2 * latents, 512, 3, 3)
    shapes |= _affine("decoder.conv_in", 512, latents, 3, 3)
    for level, outer in ((3, 512), (2, 512), (1, 256), (0, 128)):
        for block in range(3):
            shapes |= _autoencoder_block(f"decoder.up.{level}.block.{block}", width, outer)
            width = outer
        if level:
            shapes |= _affine(f"decoder.up.{level}.upsample.conv", outer, outer, 3, 3)
    shapes |= _norm("decoder.norm_out", 128) | _affine("decoder.conv_out", 3, 128, 3, 3)
    if latents == 4:
        shapes |= _affine("quant_conv", 8, 8, 1, 1) | _affine("post_quant_conv", 4, 4, 1, 1)
    return {prefix + name: shape for name, shape in shapes.items()}


def clip_l(prefix: str = "") -> Tensors:
    """The text tower of CLIP ViT-L/14."""
    shapes: Tensors = {
        "text_model.embeddings.token_embedding.weight": (49408, 768),
        "text_model.embeddings.position_embedding.weight": (77, 768),
    }
    for number in range(12):
        layer = f"text_model.encoder.layers.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _affine(f"{layer}.self_attn.{part}", 768, 768)
        shapes |= _affine(f"{layer}.mlp.fc1", 3072, 768) | _affine(f"{layer}.mlp.fc2", 768, 3072)
        shapes |= _norm(f"{layer}.layer_norm1", 768) | _norm(f"{layer}.layer_norm2", 768)
    return {prefix + name: shape for name, shape in (shapes | _norm("text_model.final_layer_norm", 768)).items()}


def sd15_checkpoint(*, in_channels: int = 4) -> Tensors:
    return (
        ldm_unet(in_channels=in_channels) | vae(prefix="first_stage_model.") | clip_l("cond_stage_model.transformer.")
    )


def sdxl_checkpoint() -> Tensors:
    return (
        ldm_unet(xl=True)
        | vae(prefix="first_stage_model.")
        | clip_l("conditioner.embedders.0.transformer.")
        | {"conditioner.embedders.1.model.text_projection": (1280, 1280)}
    )


def controlnet_sd15() -> Tensors:
    inner = {name: shape for name, shape in ldm_unet(prefix="").items() if not name.startswith(("output", "out."))}
    shapes = {f"control_model.{name}": shape for name, shape in inner.items()}
    widths = (320, 320, 320, 320, 640, 640, 640, 1280, 1280, 1280, 1280, 1280)
    for number, width in enumerate(widths):
        shapes |= _affine(f"control_model.zero_convs.{number}.0", width, width, 1, 1)
    shapes |= _affine("control_model.middle_block_out.0", 1280, 1280, 1, 1)
    return shapes | _affine("control_model.input_hint_block.0", 16, 3, 3, 3)


def flux(*, guidance: bool = True, prefix: str = "") -> Tensors:
    """FLUX.1: 19 double and 38 single blocks, 3,072 wide; `guidance` is what schnell lacks."""
    width = 3072
    shapes = _affine("img_in", width, 64) | _affine("txt_in", width, 4096) | _affine("final_layer.linear", 64, width)
    embedders = {"time_in": 256, "vector_in": 768} | ({"guidance_in": 256} if guidance else {})
    for name, inner in embedders.items():
        shapes |= _affine(f"{name}.in_layer", width, inner) | _affine(f"{name}.out_layer", width, width)
    shapes |= _affine("final_layer.adaLN_modulation.1", 2 * width, width)
    for number in range(19):
        for side in ("img", "txt"):
            block = f"double_blocks.{number}.{side}"
            shapes |= _affine(f"{block}_mod.lin", 6 * width, width) | _affine(f"{block}_attn.qkv", 3 * width, width)
            shapes |= _affine(f"{block}_attn.proj", width, width) | _affine(f"{block}_mlp.0", 4 * width, width)
            shapes |= _affine(f"{block}_mlp.2", width, 4 * width)
            shapes |= {f"{block}_attn.norm.{part}_norm.scale": (128,) for part in ("query", "key")}
    for number in range(38):
        block = f"single_blocks.{number}"
        shapes |= _affine(f"{block}.linear1", 7 * width, width) | _affine(f"{block}.linear2", width, 5 * width)
        shapes |= _affine(f"{block}.modulation.lin", 3 * width, width)
        shapes |= {f"{block}.norm.{part}_norm.scale": (128,) for part in ("query", "key")}
    return {prefix + name: shape for name, shape in shapes.items()}


def wan(*, width: int = 1536, blocks: int = 30, feed: int = 8960, channels: int = 16) -> Tensors:
    """Wan 2.1's video transformer; the small one by default."""
    shapes = _affine("patch_embedding", width, channels, 1, 2, 2) | _affine("text_embedding.0", width, 4096)
    shapes |= _affine("text_embedding.2", width, width) | _affine("time_embedding.0", width, 256)
    shapes |= _affine("time_embedding.2", width, width) | _affine("time_projection.1", 6 * width, width)
    for number in range(blocks):
        block = f"blocks.{number}"
        for attention in ("self_attn", "cross_attn"):
            for part in ("q", "k", "v", "o"):
                shapes |= _affine(f"{block}.{attention}.{part}", width, width)
            shapes |= {f"{block}.{attention}.norm_{part}.weight": (width,) for part in ("q", "k")}
        shapes |= _affine(f"{block}.ffn.0", feed, width) | _affine(f"{block}.ffn.2", width, feed)
        shapes |= _norm(f"{block}.norm3", width) | {f"{block}.modulation": (1, 6, width)}
    return shapes | _affine("head.head", 64, width) | {"head.modulation": (1, 2, width)}


def _low_rank(module: str, inner: int, outer: int, rank: int) -> Tensors:
    shapes: Tensors = {f"{module}.lora_down.weight": (rank, inner), f"{module}.lora_up.weight": (outer, rank)}
    return shapes | {f"{module}.alpha": ()}


def _attention_modules(width: int, context: int) -> Iterator[tuple[str, int, int]]:
    for attention, inner in (("attn1", width), ("attn2", context)):
        yield from ((f"{attention}_to_{part}", inner if part in "kv" else width, width) for part in ("q", "k", "v"))
        yield f"{attention}_to_out_0", width, width
    yield "ff_net_0_proj", width, 8 * width
    yield "ff_net_2", 4 * width, width


def kohya_sd15(rank: int = 32) -> Tensors:
    """A LoRA of kohya's trainer: every attention of the UNet, and the text encoder."""
    places = [(f"down_blocks_{level}_attentions_{number}", 320 << level) for level in range(3) for number in range(2)]
    places += [("mid_block_attentions_0", 1280)]
    places += [(f"up_blocks_{level}_attentions_{n}", 1280 >> (level - 1)) for level in range(1, 4) for n in range(3)]
    shapes: Tensors = {}
    for place, width in places:
        for part in ("proj_in", "proj_out"):
            shapes |= _low_rank(f"lora_unet_{place}_{part}", width, width, rank)
        for module, inner, outer in _attention_modules(width, 768):
            shapes |= _low_rank(f"lora_unet_{place}_transformer_blocks_0_{module}", inner, outer, rank)
    return shapes | _text_low_rank("lora_te_text_model", rank)


def _text_low_rank(prefix: str, rank: int, *, layers: int = 12, width: int = 768) -> Tensors:
    shapes: Tensors = {}
    for number in range(layers):
        layer = f"{prefix}_encoder_layers_{number}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _low_rank(f"{layer}_self_attn_{part}", width, width, rank)
        shapes |= _low_rank(f"{layer}_mlp_fc1", width, 4 * width, rank)
        shapes |= _low_rank(f"{layer}_mlp_fc2", 4 * width, width, rank)
    return shapes


def kohya_sdxl(rank: int = 16) -> Tensors:
    """A LoRA of kohya's trainer for SDXL, with both text encoders."""
    shapes: Tensors = {}
    for place, width, depth in (
        *((f"input_blocks_{number}_1", 640, 2) for number in (4, 5)),
        *((f"input_blocks_{number}_1", 1280, 10) for number in (7, 8)),
        ("middle_block_1", 1280, 10),
        *((f"output_blocks_{number}_1", 1280, 10) for number in (0, 1, 2)),
        *((f"output_blocks_{number}_1", 640, 2) for number in (3, 4, 5)),
    ):
        for number in range(depth):
            for module, inner, outer in _attention_modules(width, 2048):
                shapes |= _low_rank(f"lora_unet_{place}_transformer_blocks_{number}_{module}", inner, outer, rank)
    shapes |= _text_low_rank("lora_te1_text_model", rank)
    return shapes | _text_low_rank("lora_te2_text_model", rank, layers=32, width=1280)


def diffusers_flux_lora(rank: int = 16) -> Tensors:
    """A LoRA as diffusers and its trainers save one for FLUX."""
    shapes: Tensors = {}
    parts: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    blocks = [(f"transformer_blocks.{number}", parts) for number in range(19)]
    blocks += [(f"single_transformer_blocks.{number}", parts[:3]) for number in range(38)]
    for block, used in blocks:
        for part in used:
            shapes[f"transformer.{block}.attn.{part}.lora_A.weight"] = (rank, 3072)
            shapes[f"transformer.{block}.attn.{part}.lora_B.weight"] = (3072, rank)
    return shapes


def wan_lora(rank: int = 32, *, width: int = 5120) -> Tensors:
    """A LoRA of musubi-tuner or ComfyUI for Wan."""
    shapes: Tensors = {}
    for number in range(40):
        for attention in ("self_attn", "cross_attn"):
            for part in ("q", "k", "v", "o"):
                module = f"diffusion_model.blocks.{number}.{attention}.{part}"
                shapes |= {f"{module}.lora_A.weight": (rank, width), f"{module}.lora_B.weight": (width, rank)}
    return shapes


def esrgan(blocks: int = 23, scale: int = 4) -> Tensors:
    """ESRGAN in the names of its first release."""
    shapes = _affine("model.0", 64, 3, 3, 3)
    for number in range(blocks):
        for dense in (1, 2, 3):
            for conv in range(5):
                outer = 64 if conv == 4 else 32
                name = f"model.1.sub.{number}.RDB{dense}.conv{conv + 1}.0"
                shapes |= _affine(name, outer, 64 + 32 * conv, 3, 3)
    shapes |= _affine(f"model.1.sub.{blocks}", 64, 64, 3, 3)
    last = 3 * (scale.bit_length() - 1)
    for number in range(3, last + 1, 3):
        shapes |= _affine(f"model.{number}", 64, 64, 3, 3)
    return shapes | _affine(f"model.{last + 2}", 64, 64, 3, 3) | _affine(f"model.{last + 4}", 3, 64, 3, 3)


def compact_upscaler(convolutions: int = 32) -> Tensors:
    """Real-ESRGAN's compact network (SRVGG)."""
    shapes = _affine("body.0", 64, 3, 3, 3) | {"body.1.weight": (64,)}
    for number in range(convolutions):
        shapes |= _affine(f"body.{2 * number + 2}", 64, 64, 3, 3) | {f"body.{2 * number + 3}.weight": (64,)}
    return shapes | _affine(f"body.{2 * convolutions + 2}", 48, 64, 3, 3)


def llama_layers(layers: int, width: int, heads: tuple[int, int], feed: int, vocabulary: int) -> Tensors:
    """A Llama-like language model as transformers names it; `heads`: of queries, and of keys and values."""
    shared = width // heads[0] * heads[1]
    shapes: Tensors = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    for number in range(layers):
        layer = f"model.layers.{number}"
        for part, outer in (("q", width), ("k", shared), ("v", shared), ("o", width)):
            shapes[f"{layer}.self_attn.{part}_proj.weight"] = (outer, width)
        shapes |= {f"{layer}.mlp.{part}_proj.weight": (feed, width) for part in ("gate", "up")}
        shapes |= {f"{layer}.mlp.down_proj.weight": (width, feed), f"{layer}.input_layernorm.weight": (width,)}
        shapes[f"{layer}.post_attention_layernorm.weight"] = (width,)
    return shapes


def gguf_llama(
    layers: int, width: int, heads: tuple[int, int], feed: int, vocabulary: int, kind: str
) -> dict[str, tuple[Sequence[int], str]]:
    """The same in GGUF's names, with weights of one ggml type and norms of F32."""
    shared = width // heads[0] * heads[1]
    tensors: dict[str, tuple[Sequence[int], str]] = {"token_embd.weight": ((vocabulary, width), kind)}
    for number in range(layers):
        block = f"blk.{number}"
        parts = {"attn_q": (width, width), "attn_k": (shared, width), "attn_v": (shared, width)}
        parts |= {"attn_output": (width, width), "ffn_gate": (feed, width), "ffn_up": (feed, width)}
        parts["ffn_down"] = (width, feed)
        tensors |= {f"{block}.{name}.weight": (shape, kind) for name, shape in parts.items()}
        tensors |= {f"{block}.{name}.weight": ((width,), "F32") for name in ("attn_norm", "ffn_norm")}
    return tensors | {"output_norm.weight": ((width,), "F32")}


def quantised(shapes: Tensors, kind: str) -> dict[str, tuple[Sequence[int], str]]:
    """Matrices in a ggml type, as far as their rows divide into its blocks, and everything else in F16."""
    return {
        name: (shape, kind if len(shape) == 2 and shape[-1] % 256 == 0 else "F16") for name, shape in shapes.items()
    }


def diffusers_unet(width: int = 320) -> Tensors:
    """What tells a UNet of Stable Diffusion 1 in diffusers' names; `width` is that of its first level."""
    shapes = _affine("conv_in", width, 4, 3, 3) | _affine("conv_out", 4, width, 3, 3)
    shapes |= _affine("time_embedding.linear_1", 4 * width, width)
    for level, factor in ((0, 1), (1, 2), (2, 4)):
        for number in range(2):
            name = f"down_blocks.{level}.attentions.{number}"
            shapes |= _transformer(name, width * factor, 768, 1, linear=False)
    return shapes
