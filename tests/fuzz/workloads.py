"""Workload files with wrong things inside: refused with one message, or planned and measured without a NaN."""

from __future__ import annotations

import random
from pathlib import Path

from tests.fuzz.running import faults, faults_of_tables, files_in, generator, run_command

HEAD = """import torch, math, sys, os, numpy as np
from torch import nn
import qtaml_codesign as qc
torch.manual_seed(0)
x = torch.randn(60, 6)
y = torch.arange(60) % 4
net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
def work(model=net, calibration=x, evaluation=(x, y), **more):
    return qc.Workload(model=model, calibration=calibration, evaluation=evaluation, **more)
class Odd(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.layer, self.change = nn.Linear(6, 4), change
    def forward(self, x):
        return self.change(self.layer(x))
def filled(value):
    model = nn.Linear(6, 4)
    nn.init.constant_(model.weight, value)
    return model
"""
FACTORIES = (
    "def make(): raise KeyError('lost')", "def make(): sys.exit(0)", "def make(): sys.exit('gone')",
    "def make(): exit()",
    "def make(): return None", "def make(): return 3", "def make(): return work", "def make(): return (work(), work())",
    "def make(): return make()", "def make(needed): return work()", "async def make(): return work()",
    "def make(): yield work()", "make = work()", "make = 3", "make = qc.Workload", "class make: pass",
    "def make():\n    print('noise ' * 1000)\n    return work()", "def make(): raise BaseException('all of them')",
    "def make(): raise GeneratorExit", "def make(): raise StopIteration", "def make(): raise MemoryError('as if')",
    "def make(): raise qc.CodesignError('own', where='a', rule='b', value='c', next_step='d')",
    "def make(): raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})()",
    "def make(): return type('Shy', (), {'__repr__': lambda self: 1 / 0})()",
    "def make(): return type('Loud', (), {'__repr__': lambda self: 'x' * 10**6})()",
    "def make(): raise ValueError('line\\n' * 1000)", "def make(): raise ValueError('')",
    "raise RuntimeError('at import')", "sys.exit(3)", "import nothing_like_this", "1 +", "\tdef make(): pass",
    "def make(: pass",
    "def make():\n    sys.stdout.close()\n    return 1", "os.chdir('/')\ndef make(): return work()",
    "def make():\n    torch.set_grad_enabled(False)\n    return work()",
    "def make():\n    torch.set_default_dtype(torch.float64)\n    return work()",
    "def make():\n    import warnings\n    warnings.warn('careful')\n    return work()",
    "\x00", "\ufeffdef make(): return work()", "# -*- coding: nonsense -*-",
    "def make():\n    with torch.inference_mode():\n"
    "        return work(nn.Linear(6, 4))",
)
MODELS = (
    "net", "net", "None", "nn.ReLU()", "nn.Linear", "lambda x: x", "filled(0.0)", "filled(math.nan)",
    "filled(math.inf)", "filled(1e38)", "filled(1e-45)", "filled(-0.0)", "nn.Linear(6, 1)", "nn.Linear(6, 0)",
    "nn.Linear(0, 4)", "nn.Linear(5, 4)", "nn.Linear(6, 4).double()", "nn.Linear(6, 4).half()",
    "nn.Linear(6, 4).to(torch.bfloat16)", "nn.Linear(6, 4, device='meta')", "nn.LazyLinear(4)", "nn.Embedding(10, 4)",
    "nn.Dropout()", "Odd(lambda z: z * math.nan)", "Odd(lambda z: z.argmax(1))", "Odd(lambda z: z[:3])",
    "Odd(lambda z: None)", "Odd(lambda z: {'logits': z})", "Odd(lambda z: z.tolist())", "Odd(print)",
    "Odd(lambda z: z + torch.rand(1))", "Odd(lambda z: 1 / 0)", "Odd(lambda z: sys.exit(5))",
    "Odd(lambda z: z.to(torch.int8))", "Odd(lambda z: z.to(torch.complex64))", "Odd(lambda z: z * 1e30 * 1e30)",
    "Odd(lambda z: z.detach())", "Odd(torch.sign)", "Odd(lambda z: z * 0)", "Odd(lambda z: z.expand(2, *z.shape))",
    "torch.jit.script(nn.Linear(6, 4))", "nn.ModuleList([net])", "nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))",
    "nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.5))",
    "nn.Sequential(nn.Unflatten(1, (1, 6)), nn.GRU(6, 4, batch_first=True))",
)
CALIBRATIONS = (
    "x", "x", "x", "x[:1]", "x[:0]", "x[0]", "x * math.nan", "x * 1e38", "x * 0", "None", "'x'", "3", "[]", "{}",
    "(x, x)", "x.numpy()", "x.double()", "x.int()", "x.tolist()", "x[:, :5]", "[x]", "{'input': x}", "{1: x}",
    "x.to_sparse()", "x.to('meta')", "iter([x])", "torch.zeros(3, 6, requires_grad=True)", "np.array([['a'] * 6])",
)
EVALUATIONS = (
    "(x, y)", "(x, y)", "(x, y)", "(x, y + 1)", "(x, y - 9)", "(x, y[:5])", "(x[:0], y[:0])", "(x[:1], y[:1])",
    "(x, None)", "(x,)", "x", "(x, x)", "(x, y.float())", "(x, y.bool())", "(x, y.tolist())", "(x, y.numpy())",
    "(x, y.numpy().astype(object))", "(x, ['a'] * 60)", "(x, y[None])", "(x, y[:, None])", "(x, y * 0 + 2**40)",
    "(x * math.nan, y)", "(x, y, y)", "'xy'", "(x, y.to('meta'))", "(x, np.array(y, dtype=np.uint64))",
    "(x, nn.functional.one_hot(y))",
)
OPTIONS = (
    "", "", "", "name=''", "name='a/b'", "name='../../up'", "name='\\x1b[31m'", "name='n' * 400", "name='\\ud800'",
    "name=None", "name='a\\nb'", "batch_size=0", "batch_size=-1", "batch_size=1", "batch_size=10**18",
    "batch_size=10**30", "batch_size='8'", "batch_size=True", "batch_size=2.0", "batch_size=math.nan", "tensors=()",
    "tensors='*'", "tensors=('*.bias',)", "tensors=('nothing',)", "tensors=3", "tensors=(1, 2)", "tensors=('[',)",
    "tensors=iter(['*'] * 3)", "residual_floors={'0.weight': 99}", "residual_floors={'0.weight': -1}",
    "residual_floors={'no': 1}", "residual_floors=3", "residual_floors={'0.weight': True}",
    "residual_floors=[('0.weight', 1)]", "logits=3", "logits=lambda z: None", "logits=lambda z: z[:, :1]",
    "logits=lambda z: 1 / 0", "logits=lambda z: z.sum()", "unknown=1", "residual_floors={'0.weight': 8}",
    "logits=lambda z: z * math.inf",
)


def text_of(rng: random.Random) -> str:
    """A workload file with one to three wrong things, or none."""
    if rng.random() < 0.3:
        return f"{HEAD}{rng.choice(FACTORIES)}\n"
    wrong = rng.sample(range(4), rng.choice((1, 1, 1, 2, 3)))
    model, calibration, evaluation, option = (
        rng.choice(choices) if place in wrong else choices[0]
        for place, choices in enumerate((MODELS, CALIBRATIONS, EVALUATIONS, OPTIONS))
    )
    more = f", {option}" if option else ""
    return f"{HEAD}def make():\n    return work({model}, {calibration}, {evaluation}{more})\n"


def run_case(seed: int, case: int, folder: Path) -> list[str]:
    """What one workload file shows to be wrong: planned, and swept at one point."""
    rng = generator(seed, "workloads", case)
    (folder / "net.py").write_bytes(text_of(rng).encode("utf-8", "surrogatepass"))
    before = files_in(folder)
    reference = str(folder / "net.py") + ":make"
    planned = run_command(["plan", "--workload", reference, "--flip-probability", "0.1", "--budget", "0.2",
                           "--method", rng.choice(("tac", "uniform-msp", "magnitude"))], folder)
    swept = run_command(["sweep", "--device", "3nm", "--workload", reference, "--thickness", "1.78", "--budget", "0.2",
                         "--trials", "2", "--workers", "1", "--out", str(folder / "out")], folder)
    found = [fault for ended in (planned, swept) for fault in faults(ended)] + faults_of_tables(folder)
    after = files_in(folder)
    return found + [f"{name} was written or changed" for name in after
                    if not name.startswith("out/") and after[name] != before.get(name)]
