"""One scaled_dot_product_attention in PyTorch, forward and backward, as attention_swale.h."""
import torch
from torch.nn import functional


def numbers(*shape):
    return (torch.arange(torch.Size(shape).numel()) * 7919 % 1999 / 1999 - 0.5).view(shape)


class Attention:
    """path: heads, with queries, keys and values [batch, heads, length, features] each, or packed, with one array
    [batch, length, 3·heads·features]; with -bf16 at its end: in bf16."""

    def __init__(self, batch, heads, length, features, causal, path):
        kind = torch.bfloat16 if path.endswith("-bf16") else torch.float32
        self.shape, self.causal, width = (batch, length, heads, features), causal, heads * features
        packed, dout = numbers(batch, length, 3 * width).to(kind), numbers(batch, length, width).to(kind)
        self.packed = path.startswith("packed")
        if self.packed:
            self.inputs, self.dout = [packed.requires_grad_()], dout
        else:
            self.inputs = [x.contiguous().requires_grad_() for x in self.heads(packed)]
            self.dout = self.view(dout).contiguous()

    def view(self, x):
        return x.view(self.shape).transpose(1, 2)

    def heads(self, packed):
        return [self.view(x) for x in packed.split(self.shape[2] * self.shape[3], 2)]

    def run(self, steps):
        for _ in range(steps):
            q, k, v = self.heads(self.inputs[0]) if self.packed else self.inputs
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
            y = y.transpose(1, 2).reshape(self.dout.shape) if self.packed else y
            gradients = torch.autograd.grad(y, self.inputs, self.dout)
        return gradients[0].flatten()[0].item()
