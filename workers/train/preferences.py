"""DPO of a right judgment against a wrong one of the same prompt, and the likelihood of the right one.

The released recipe of Self-Taught Evaluators; the term is that of Iterative RPO (arXiv 2404.19733).
"""

from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer

from workers.train.config import tokens
from workers.train.lesson import Lesson
from workers.train.order import Repeatable
from workers.train.validation import Validated
from workers.train.weights import freeze, load, lora


class _Trainer(Repeatable, Validated, DPOTrainer):
    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset  # token ids already: the prompts must be those that are served


def trainer(lesson: Lesson) -> Any:
    """TRL's trainer on `{"prompt_ids", "chosen_ids", "rejected_ids"}` rows. The reference is the start."""
    config, settings = lesson.config, lesson.config.settings
    model = load(lesson.start)
    rows = model.get_output_embeddings().weight
    direction = rows[config.label_a] - rows[config.label_b]
    adapters = settings.method == "lora"
    dataset = Dataset.from_list([{**row, "length": tokens(row)} for row in lesson.rows])
    made = _Trainer(
        model=model if adapters else freeze(model, settings),
        # With adapters the trainer switches them off to have the reference.
        peft_config=lora(model, settings, "CAUSAL_LM") if adapters else None,
        ref_model=None if adapters else load(lesson.start),
        args=DPOConfig(
            **lesson.arguments(),
            learning_rate=settings.dpo_learning_rate,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=max(settings.batch_pairs // 2, 1),
            beta=settings.dpo_beta,
            loss_type=["sigmoid", "sft"],
            loss_weights=[1.0, settings.dpo_nll],
            max_length=None,
            # The sampler groups by this column, which the trainer would drop as unused.
            remove_unused_columns=False,
            length_column_name="length",
        ),
        train_dataset=dataset,
        eval_dataset=dataset if lesson.validation else None,  # see `workers.train.reasoned`
        processing_class=AutoTokenizer.from_pretrained(config.seed_model),
        callbacks=lesson.callbacks(),
    )
    made.measure_on(lesson.validation, direction)
    return made
