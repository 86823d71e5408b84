#!/usr/bin/env python3
"""GPT-2 of the package transformers: golden/gpt2.h and files in golden/networks.

A tiny model with random numbers, in float64: the keys of its state_dict, logits, the ids of a greedy continuation, and the
losses of 100 steps of AdamW. networks/gpt2.safetensors is what save_pretrained writes, in float32;
networks/gpt2_published.safetensors has the form of the published weights: without "transformer.", and with the masks of the
attention.

The tolerance of the training is derived as in torch_networks.py: the factor by which the problem amplifies errors of
DELTA in each step, times the rounding errors of a step. The longest sums are gradients of weights over the positions of
a batch, 32, and of logits over the vocabulary, 13; ROUNDINGS allows 256 for chains of 40 operations of the two sides.

    PYTHON tests/golden/gpt2.py      (PyTorch 2, transformers, safetensors)
"""
import os
import shutil
import sys
import tempfile

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

sys.dont_write_bytecode = True  # no __pycache__ in the folder of the fixtures
from torch_shared import HERE, Stream, array, filled, flat, write

VOCABULARY, LENGTH, WIDTH, LAYERS, HEADS = 13, 8, 12, 2, 3
ROWS, MORE = 3, 5
STEPS, BATCH, SAMPLES, DELTA, ROUNDINGS, FLOOR, MOST = 100, 4, 16, 1e-9, 256, 1e-12, 1e-9
RULE = "adamw lr=0.003 weight_decay=0.1 beta2=0.99"


def model():
    config = GPT2Config(vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
                        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=None, pad_token_id=0)
    net = GPT2LMHeadModel(config).double()
    stream = Stream(41)
    with torch.no_grad():
        for name, p in net.named_parameters():  # lm_head.weight is that of wte
            norm = ".ln_" in name and name.endswith(".weight")
            p.copy_(filled(p.shape, 0.5, 1.5, stream) if norm else filled(p.shape, -0.5, 0.5, stream))
    return net


def ids(count, seed):
    stream = Stream(seed)
    return torch.tensor([stream.word() % VOCABULARY for _ in range(count * LENGTH)]).reshape(count, LENGTH)


def files(net):
    state = {name: p.detach().float().clone() for name, p in net.named_parameters()}
    single = GPT2LMHeadModel(net.config)
    single.load_state_dict(state, strict=False)
    with tempfile.TemporaryDirectory() as folder:
        single.float().save_pretrained(folder)
        shutil.copyfile(os.path.join(folder, "model.safetensors"), os.path.join(HERE, "networks", "gpt2.safetensors"))
    published = {name.removeprefix("transformer."): value for name, value in state.items()}
    for i in range(LAYERS):
        published[f"h.{i}.attn.bias"] = torch.ones(LENGTH, LENGTH, dtype=torch.float32).tril()[None, None]
    save_file(published, os.path.join(HERE, "networks", "gpt2_published.safetensors"))


def greedy(net, prompt):
    """Each id from the last LENGTH ids, without a cache."""
    row = list(prompt)
    with torch.no_grad():
        while len(row) < len(prompt) + MORE:
            row.append(int(net(torch.tensor([row[-LENGTH:]])).logits[0, -1].argmax()))
    return row[len(prompt):]


def noisy(t, generator):
    with torch.no_grad():
        noise = 2 * torch.rand(t.shape, generator=generator) - 1
        t += DELTA * t.abs().max() * noise * (t != 0)


def train(noise=None):
    net, losses, x, y = model(), [], ids(SAMPLES, 42), ids(SAMPLES, 43)
    optim = torch.optim.AdamW(net.parameters(), lr=0.003, weight_decay=0.1, betas=(0.9, 0.99))
    for step in range(STEPS):
        at = step * BATCH % SAMPLES
        optim.zero_grad()
        logits = net(x[at:at + BATCH]).logits
        loss = F.cross_entropy(logits.reshape(-1, VOCABULARY), y[at:at + BATCH].reshape(-1))
        loss.backward()
        losses.append(loss.item())
        for p in net.parameters() if noise else ():
            noisy(p.grad, noise)
        optim.step()
        for p in net.parameters() if noise else ():
            noisy(p, noise)
    return losses


def main():
    net = model()
    net.eval()
    files(net)
    with torch.no_grad():
        logits = net(ids(ROWS, 40)).logits
    names = [name for name in net.state_dict()]
    losses = train()
    growth = max(max(abs(a - b) for a, b in zip(train(torch.Generator().manual_seed(seed)), losses)) / losses[0] / DELTA
                 for seed in (1, 2))
    tolerance = max(FLOOR, growth * ROUNDINGS * 2.0**-53)
    print(f"loss {losses[0]:.3g} to {losses[-1]:.3g}, growth {growth:.3g}, tolerance {tolerance:.2g}", file=sys.stderr)
    if tolerance > MOST:
        sys.exit(f"gpt2.py: a tolerance above {MOST:g}: a gentler problem is needed")
    continued = [greedy(net, ids(ROWS, 40)[i, :4].tolist()) for i in range(ROWS)]
    write("gpt2.h",
          f"enum {{ GPT2_VOCABULARY = {VOCABULARY}, GPT2_LENGTH = {LENGTH}, GPT2_WIDTH = {WIDTH}, GPT2_LAYERS = {LAYERS},\n"
          f"       GPT2_HEADS = {HEADS}, GPT2_ROWS = {ROWS}, GPT2_MORE = {MORE}, GPT2_STEPS = {STEPS},\n"
          f"       GPT2_BATCH = {BATCH}, GPT2_SAMPLES = {SAMPLES} }};\n\n"
          "static const char *const gpt2_keys[] = {\n    " + ",\n    ".join(f'"{n}"' for n in names) + ", NULL};\n"
          "/* [GPT2_ROWS, GPT2_LENGTH, GPT2_VOCABULARY] */\n" + array("static const double gpt2_logits[]", flat(logits)) +
          "/* What follows the first 4 ids of each row: always the most likely id, from the last GPT2_LENGTH ids. */\n"
          "static const int gpt2_continued[GPT2_ROWS][GPT2_MORE] = {" +
          ", ".join("{" + ", ".join(map(str, row)) + "}" for row in continued) + "};\n"
          f'static const char gpt2_rule[] = "{RULE}";\n'
          f"static const double gpt2_tolerance = {tolerance:.2g}; /* noise grows {growth:.0f} times */\n" +
          array("static const double gpt2_losses[]", [float(f"{v:.15g}") for v in losses]))


main()
