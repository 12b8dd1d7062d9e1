#!/usr/bin/env python3
"""Times bitsandbytes and torch on the CPU for the shapes of benches/quantize.rs and benches/multiply.rs.

    pip install torch bitsandbytes && python3 benches/peers.py [THREADS]

Run it in the same minutes as the benches: machines drift, ratios are what counts. Minimum and median of many, in ms.
"""
import sys
import time

import bitsandbytes as bnb
import bitsandbytes.functional as F
import torch

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
torch.manual_seed(0)


def measure(name, run, budget=2.0):
    run()
    times, begin = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begin < budget:
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    print(f"{name:48} min {times[0]:9.3f}  median {times[len(times) // 2]:9.3f}  runs {len(times)}", flush=True)


def rotating(items):
    """One after the other, so that weights come from memory and not from a cache."""
    state = [0]

    def next_item():
        state[0] = (state[0] + 1) % len(items)
        return items[state[0]]

    return next_item


def quantizing():
    w = torch.randn(4096, 4096) * 0.02
    measure("quantize nf4 b64 4096x4096 f32", lambda: F.quantize_4bit(w, blocksize=64, quant_type="nf4"))
    packed, state = F.quantize_4bit(w, blocksize=64, quant_type="nf4")
    measure("dequantize nf4 b64 -> f32, allocating", lambda: F.dequantize_4bit(packed, state))


def multiplying():
    with torch.no_grad():
        x = torch.randn(512, 4096, dtype=torch.bfloat16)
        dense = torch.randn(4096, 4096, dtype=torch.bfloat16)
        measure("dense bf16 M=512 4096x4096", lambda: torch.nn.functional.linear(x, dense))
        dense32, x32 = dense.float(), x.float()
        measure("dense f32 M=512 4096x4096", lambda: torch.nn.functional.linear(x32, dense32))
        w = torch.randn(4096, 4096) * 0.02
        packed, state = F.quantize_4bit(w.bfloat16(), blocksize=64, quant_type="nf4")
        measure("nf4 bf16 M=512 4096x4096", lambda: bnb.matmul_4bit(x, packed.t(), state))
        int8 = bnb.nn.Linear8bitLt(4096, 4096, bias=False, has_fp16_weights=False, threshold=0.0)
        int8.weight = bnb.nn.Int8Params(w.half(), requires_grad=False, has_fp16_weights=False)
        int8 = int8.to("cpu").eval()
        measure("int8 threshold 0 bf16 M=512 4096x4096", lambda: int8(x))
        codes = [F.quantize_4bit((torch.randn(14336, 4096) * 0.02).bfloat16(), blocksize=64, quant_type="nf4") for _ in range(8)]
        pick, x1 = rotating(codes), x[:1]

        def gemv():
            packed, state = pick()
            return bnb.matmul_4bit(x1, packed.t(), state)

        measure("nf4 bf16 M=1 14336x4096, rotated", gemv)


print(f"bitsandbytes {bnb.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads")
quantizing()
multiplying()
