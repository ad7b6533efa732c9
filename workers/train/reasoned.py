"""Supervised finetuning on the tokens of correct judgments (Self-Taught Evaluators)."""

from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

from workers.train.lesson import Lesson
from workers.train.order import Repeatable
from workers.train.validation import Validated
from workers.train.weights import load, prepare


class _Trainer(Repeatable, Validated, SFTTrainer):
    pass


def trainer(lesson: Lesson) -> Any:
    """TRL's trainer on `{"input_ids", "completion_mask"}` rows: the loss is over the completion alone."""
    config, settings = lesson.config, lesson.config.settings
    model = load(lesson.start)
    rows = model.get_output_embeddings().weight
    direction = rows[config.label_a] - rows[config.label_b]
    dataset = Dataset.from_list(lesson.rows)
    made = _Trainer(
        model=prepare(model, settings, "CAUSAL_LM"),
        args=SFTConfig(
            **lesson.arguments(),
            learning_rate=settings.sft_learning_rate,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=max(settings.batch_pairs // 2, 1),
            completion_only_loss=True,
            max_length=None,
            packing=False,
        ),
        train_dataset=dataset,
        # The trainer asks for one; `Validated` reads the validation pairs instead.
        eval_dataset=dataset if lesson.validation else None,
        processing_class=AutoTokenizer.from_pretrained(config.seed_model),
        callbacks=lesson.callbacks(),
    )
    made.measure_on(lesson.validation, direction)
    return made
