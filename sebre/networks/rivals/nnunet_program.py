"""The program of a training of nnU-Net, in a process of its own; `nnunet_train` runs it.

It imports nothing of this package, so that no second framework is loaded there. The folders of
nnU-Net are those of nnUNet_raw, nnUNet_preprocessed and nnUNet_results in its environment. Each
epoch it writes a line that begins with PROGRESS, with a JSON object.
"""

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np

PROGRESS = "progress: "
CONFIGURATION = "2d"
DIVERGED = 9  # exit code: the loss became NaN or infinite
_PLANS = "nnUNetPlans.json"  # nnU-Net's name of the file
_DATASET_ID = 1


def main(job_path: str) -> None:
    """Plan, train and write the trained network, as the job says."""
    import torch

    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    prepared = Path(os.environ["nnUNet_preprocessed"]) / job["dataset"]
    if not job["resume"]:
        _prepare(prepared, job)
    # Sections are augmented in this process: that their order and changes follow from the seed.
    os.environ["nnUNet_n_proc_DA"] = "0"
    random.seed(job["seed"])
    np.random.seed(job["seed"])
    torch.manual_seed(job["seed"])
    trainer = _trainer(prepared, job)
    trainer.initialize()
    trainer.network.register_forward_hook(_in_float32)
    if job["resume"]:
        # The final one takes the place of the latest, when the last epoch is done.
        final = Path(trainer.output_folder) / "checkpoint_final.pth"
        latest = Path(trainer.output_folder) / "checkpoint_latest.pth"
        trainer.load_checkpoint(str(final if final.is_file() else latest))
    trainer.run_training()
    _write(trainer, job)


def _prepare(prepared: Path, job: dict[str, Any]) -> None:
    """Let nnU-Net look at the sections, plan its network by them, and store what it will read."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as planning

    one = {"num_processes": 1, "show_progress_bar": False}
    planning.extract_fingerprints([_DATASET_ID], **one, check_dataset_integrity=True)
    planning.plan_experiments([_DATASET_ID])
    planning.preprocess(
        [_DATASET_ID], configurations=[CONFIGURATION], num_processes=[1], show_progress_bar=False
    )
    parts = [{"train": job["train"], "val": job["held_out"] or job["train"][:1]}]
    (prepared / "splits_final.json").write_text(json.dumps(parts), encoding="utf-8")
    plans = json.loads((prepared / _PLANS).read_text(encoding="utf-8"))
    if job["batch"]:
        plans["configurations"][CONFIGURATION]["batch_size"] = job["batch"]
    (prepared / _PLANS).write_text(json.dumps(plans), encoding="utf-8")


def _trainer_class(job: dict[str, Any]) -> type:
    """nnU-Net's own trainer, which says how far it is."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class Trainer(nnUNetTrainer):
        def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):  # noqa: N802
            *others, axes = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
            if not job["mirrors"]:
                axes = self.inference_allowed_mirroring_axes = None
            return *others, axes

        def train_step(self, batch: dict) -> dict:
            """A step; on a GPU nnU-Net chooses the precision itself."""
            mixed = job["bfloat16"] and self.device.type == "cpu"
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                return super().train_step(batch)

        def on_epoch_end(self) -> None:
            """Say what the epoch gave."""
            loss = float(self.logger.get_value("train_losses", step=-1))
            # First: a row without a checkpoint is made again, a checkpoint without a row is not.
            row = {"epoch": self.current_epoch + 1, "loss": loss}
            sys.stdout.write(f"{PROGRESS}{json.dumps(row)}\n")
            sys.stdout.flush()
            if not np.isfinite(loss):
                sys.exit(DIVERGED)
            super().on_epoch_end()

        def save_checkpoint(self, filename: str) -> None:
            """As a whole, or not at all, whenever it is stopped."""
            super().save_checkpoint(f"{filename}.part")
            os.replace(f"{filename}.part", filename)

        def plot_network_architecture(self) -> None:
            """Nothing: nobody looks at the drawing."""

    return Trainer


def _trainer(prepared: Path, job: dict[str, Any]) -> Any:
    import torch

    plans = json.loads((prepared / _PLANS).read_text(encoding="utf-8"))
    described = json.loads((prepared / "dataset.json").read_text(encoding="utf-8"))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plans["continue_training"] = job["resume"]
    trainer = _trainer_class(job)(plans, CONFIGURATION, 0, described, device)
    trainer.num_epochs = job["epochs"]
    trainer.num_iterations_per_epoch = job["steps_per_epoch"]
    trainer.num_val_iterations_per_epoch = 1
    trainer.save_every = 1  # so that a training can go on from its last epoch
    return trainer


def _in_float32(network: Any, inputs: Any, outputs: Any) -> Any:
    """Answers of the network for the loss, whatever they were computed in."""
    if isinstance(outputs, list | tuple):
        return [answer.float() for answer in outputs]
    return outputs.float()


def _write(trainer: Any, job: dict[str, Any]) -> None:
    """The trained network as one file of plain values, which can be read without running code."""
    import torch

    # On a GPU nnU-Net compiles its network, which then lies in another.
    network = getattr(trainer.network, "_orig_mod", trainer.network)
    weights = {name: value.cpu() for name, value in network.state_dict().items()}
    axes = trainer.inference_allowed_mirroring_axes
    content = {
        "weights": weights,
        "plans": json.dumps(trainer.plans_manager.plans),
        "dataset": json.dumps(trainer.dataset_json),
        "mirrored": None if axes is None else [int(axis) for axis in axes],
        "usual_side": job["usual_side"],
    }
    part = Path(job["out"]).with_suffix(".part")
    torch.save(content, part)
    part.replace(job["out"])
