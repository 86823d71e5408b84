"""GPT-2's network in PyTorch, as sw_nn_gpt: the step of its training, and generation with a key-value cache."""
import collections

import torch
from torch import nn
from torch.nn import functional

HEADS, WIDTH = 4, 128
# The tasks of gpt_swale.h; last: only the last id of a sequence has a target.
Task = collections.namedtuple("Task", "vocabulary length layers batch block last")
TASKS = {"characters": Task(65, 256, 4, 12, 64, False), "grokking": Task(99, 4, 2, 512, 4, True)}
LENGTH = TASKS["characters"].length


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.c_attn, self.c_proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.c_fc, self.out = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x, cache=None, position=0):
        """cache: keys and values [1, heads, LENGTH, features], of which `position` are known."""
        batch, time, _ = x.shape
        q, k, v = (part.view(batch, time, HEADS, -1).transpose(1, 2) for part in self.c_attn(self.ln_1(x)).split(WIDTH, 2))
        if cache is not None:
            for kept, new in zip(cache, (k, v)):
                kept[:, :, position:position + time] = new
            k, v = (kept[:, :, :position + time] for kept in cache)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=time > 1)
        x = x + self.c_proj(y.transpose(1, 2).reshape(batch, time, WIDTH))
        return x + self.out(functional.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, task):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(task.vocabulary, WIDTH), nn.Embedding(task.length, WIDTH)
        self.h = nn.ModuleList(Block() for _ in range(task.layers))
        self.ln_f, self.lm_head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, task.vocabulary, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, 0, 0.02)
        self.lm_head.weight = self.wte.weight

    def forward(self, ids, caches=None, position=0):
        x = self.wte(ids) + self.wpe(torch.arange(position, position + ids.shape[1]))
        for i, block in enumerate(self.h):
            x = block(x, caches[i] if caches else None, position)
        return self.lm_head(self.ln_f(x))


def numbers(task, factor, rows):
    """Ids [batch, rows], as gpt_swale.h makes them."""
    i = torch.arange(task.batch * rows)
    return ((i * factor + i // 7) % task.vocabulary).view(task.batch, rows)


class Training:
    """path: default, fused or compile-fused, with -bf16 at its end: autocast."""

    def __init__(self, name, path):
        self.task = task = TASKS[name]
        self.x, self.y = numbers(task, 7, task.block), numbers(task, 11, 1 if task.last else task.block)
        self.cast = path.endswith("-bf16")
        path = path.removesuffix("-bf16")
        self.net = Gpt(task)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-3, fused=path.endswith("fused") or None)
        self.loss = torch.compile(self.loss_of) if path.startswith("compile") else self.loss_of

    def loss_of(self):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.cast):
            logits = self.net(self.x)
        logits = logits[:, -1] if self.task.last else logits.view(-1, self.task.vocabulary)
        return functional.cross_entropy(logits.float(), self.y.view(-1))

    def run(self, steps):
        for _ in range(steps):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss()
            loss.backward()
            self.optimizer.step()
        return loss.item()


class Generation:
    """path: eager or compile. Greedy, one sequence; a step is a token."""

    def __init__(self, path):
        self.task = TASKS["characters"]
        self.net = Gpt(self.task).eval()
        self.call = torch.compile(self.net) if path == "compile" else self.net
        self.caches = [[torch.zeros(1, HEADS, LENGTH, WIDTH // HEADS) for _ in range(2)]
                       for _ in range(self.task.layers)]

    @torch.inference_mode()
    def run(self, tokens):
        made = 0
        while made < tokens:
            ids = torch.tensor([[1]])
            for position in range(min(tokens - made, LENGTH - 6)):
                ids = self.call(ids, self.caches, position)[:, -1].argmax(-1, keepdim=True)
                made += 1
        return made
