"""A GRPO run of TRL itself, its rewards from a running gateway.

pytest tests/client/test_grpo.py
"""

import pytest

from judgesmith_client import Client
from judgesmith_client.trl import reward_function

STEPS = 3


@pytest.fixture
def trainer(world, tmp_path):
    """A trainer of the tiny model, whose rewards come under a pin."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    folder = world.store.path(world.versions[2])
    with Client(world.url, pin="grpo-run") as client:
        client.make_pin("grpo-run")
        yield GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(folder),
            processing_class=AutoTokenizer.from_pretrained(folder),
            reward_funcs=reward_function(client),
            train_dataset=Dataset.from_dict({"prompt": [f"Say {n}." for n in range(8)]}),
            args=GRPOConfig(
                output_dir=str(tmp_path / "run"),
                use_cpu=True,
                bf16=False,
                max_steps=STEPS,
                per_device_train_batch_size=4,
                num_generations=4,
                max_completion_length=8,
                learning_rate=1e-3,
                logging_steps=1,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
        )


def test_grpo_learns_from_the_services_rewards(trainer, world):
    """The judge gives each response a reward of its own; those are what TRL logs and steps on."""
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}

    trainer.train()

    logs = [row for row in trainer.state.log_history if "rewards/judgesmith/mean" in row]
    assert len(logs) == STEPS
    assert all(row["rewards/judgesmith/std"] > 0 for row in logs)
    assert all(row["judgesmith/invalid"] == 0 for row in logs)
    assert any((value != before[name]).any() for name, value in trainer.model.named_parameters())
    (report,) = world.http.get("/admin/rewards/health").json()["versions"]
    assert report["version"] == world.versions[0]
    assert report["rewards"] + report["empty"] == 4 * STEPS
