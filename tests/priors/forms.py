"""One clone in every form that a prior can have."""

import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from conftest import ROOT
from opened_priors import command

from rql.agents.loading import open_agent
from rql.commands import export

SERVED = """
import sys
sys.path.insert(0, {examples!r})
{imports}
from serve_policy import serve
print("a policy may print what it likes")
serve(lambda obs, n, seed, slots: policy(obs)[:, None].repeat(n, 1), name="served")
"""
OF_TORCH = """
import torch
loaded = torch.jit.load({path!r})
policy = lambda obs: loaded(torch.from_numpy(obs)).numpy()
"""
OF_NUMPY = """
import numpy as np
assert sys.prefix == {prefix!r}
given = np.load({path!r})
def policy(obs):
    hidden = (obs - given["mean"]) / given["std"]
    for layer in ("net.0", "net.2"):
        hidden = np.maximum(hidden @ given[layer + ".weight"].T + given[layer + ".bias"], 0.0)
    return given["high"] * np.tanh(hidden @ given["net.4.weight"][:1].T + given["net.4.bias"][:1])
"""
LOADED = """
import rql

def make(path):
    policy = rql.load_policy(path, "bc")
    return lambda obs: policy.batch(obs)
"""


def forms_of(cloned: Path, folder: Path) -> dict[str, list[str]]:
    """The clone of a run on pendulum in every form, as overrides."""
    for to in ("torchscript", "onnx"):
        assert export.main([str(cloned), "--to", to, "--out", str(folder / to), "--policy", "bc"]) == 0
    parts = weights(cloned)
    save_sb3(parts, folder / "sac.zip")
    arrays: dict[str, Any] = {name: one.numpy() for name, one in parts.items()}
    np.savez(folder / "weights.npz", **arrays)
    (folder / "loaded_clone.py").write_text(LOADED)
    sys.path.append(str(folder))
    target = ["prior.target=loaded_clone:make", f"+prior.kwargs.path={cloned}", "prior.trusted=true"]
    served = _server(folder / "served.py", OF_TORCH.format(path=str(folder / "torchscript")))
    numpy_alone = OF_NUMPY.format(path=str(folder / "weights.npz"), prefix=str(folder / "other"))
    elsewhere = _server(folder / "elsewhere.py", numpy_alone)
    return {
        "run": ["prior=run", f"prior.run={cloned}", "prior.policy=bc"],
        "torchscript": ["prior=torchscript", f"prior.path={folder / 'torchscript'}"],
        "onnx": ["prior=onnx", f"prior.path={folder / 'onnx'}"],
        "sb3": ["prior=sb3", f"prior.path={folder / 'sac.zip'}", "prior.algorithm=SAC", "prior.trusted=true"],
        "python": ["prior=python", *target],
        "process": ["prior=process", f"prior.command='{command(served)}'"],
        "another environment": ["prior=process", f"prior.command='{other_python(folder / 'other')} {elsewhere}'"],
    }


def weights(cloned: Path) -> dict[str, torch.Tensor]:
    """The parameters of a clone's network, what normalises its observations, and the bound of its actions."""
    saved = open_agent(cloned)
    action: Any = saved.spaces.action
    state, high = saved.state, torch.from_numpy(action.high).float()
    return {**state.bc.params, "mean": state.normalizer.mean, "std": state.normalizer.std, "high": high}


def save_sb3(parts: dict[str, torch.Tensor], path: Path) -> None:
    """A SAC of stable-baselines3 with the weights of a clone, the normaliser folded into its first layer."""
    from stable_baselines3 import SAC

    hidden = [len(parts["net.0.bias"]), len(parts["net.2.bias"])]
    model = SAC("MlpPolicy", gymnasium.make("Pendulum-v1"), policy_kwargs={"net_arch": hidden}, buffer_size=1)
    actor, first = model.policy.actor.state_dict(), parts["net.0.weight"] / parts["std"]
    actor["latent_pi.0.weight"], actor["latent_pi.0.bias"] = first, parts["net.0.bias"] - first @ parts["mean"]
    actor["latent_pi.2.weight"], actor["latent_pi.2.bias"] = parts["net.2.weight"], parts["net.2.bias"]
    actor["mu.weight"], actor["mu.bias"] = parts["net.4.weight"][:1], parts["net.4.bias"][:1]
    model.policy.actor.load_state_dict(actor)
    model.save(path)


def other_python(folder: Path) -> Path:
    """The Python of another virtual environment, in which there is numpy alone."""
    venv.create(folder, symlinks=True)
    numpy = Path(np.__file__).parent
    [packages] = folder.glob("lib/python*/site-packages")
    for part in (numpy, numpy.with_name("numpy.libs")):
        if part.exists():
            (packages / part.name).symlink_to(part)
    python = folder / "bin" / "python"
    missing = subprocess.run([python, "-c", "import numpy, torch"], capture_output=True, text=True)
    assert "No module named 'torch'" in missing.stderr
    return python


def _server(path: Path, imports: str) -> Path:
    path.write_text(SERVED.format(examples=str(ROOT / "examples"), imports=imports))
    return path
