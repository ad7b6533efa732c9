"""The pointwise read: a Bradley-Terry loss on chosen minus rejected.

The reward is the log-odds of Yes against No as the next token, so the reward head is the difference of the
two rows of the output embedding, frozen: the sequence classifier gives exactly what serving will read.
"""

from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer

from workers.train.lesson import Lesson
from workers.train.order import Repeatable
from workers.train.validation import Validated
from workers.train.weights import load, prepare


class _Trainer(Repeatable, Validated, RewardTrainer):
    pass


def trainer(lesson: Lesson) -> Any:
    """TRL's trainer on `{"chosen_ids", "rejected_ids"}` rows."""
    config, settings = lesson.config, lesson.config.settings
    classifier = AutoModelForSequenceClassification.from_pretrained(
        lesson.start, num_labels=1, dtype=torch.float32
    )
    rows = load(lesson.start).get_output_embeddings().weight
    direction = rows[config.label_yes] - rows[config.label_no]
    with torch.no_grad():
        classifier.score.weight.copy_(direction.unsqueeze(0))
    dataset = Dataset.from_list([{**row, "length": max(map(len, row.values()))} for row in lesson.rows])
    made = _Trainer(
        model=prepare(classifier, settings, "SEQ_CLS"),
        args=RewardConfig(
            **lesson.arguments(),
            learning_rate=settings.pointwise_learning_rate,
            per_device_train_batch_size=settings.batch_pairs,
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
