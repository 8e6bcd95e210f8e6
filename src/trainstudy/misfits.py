"""Settings of a run that are each fine, but do not fit together or do nothing.

Without torch and numpy, like config.py, which uses it.
"""

import re
from types import ModuleType

from trainstudy import data, gpt1, yamlschema

KIND_OF_FAMILY = {"lstm": "text", "vit": "images", "cnn": "images"}
MODULE = re.compile("[a-z0-9][a-z0-9_]*")


def of(run: dict) -> list[tuple[tuple, str]]:
    """Return the (path, message) of settings that are each fine but do not fit together."""
    name, kind = run["dataset"], KIND_OF_FAMILY[run["family"]]
    if name not in data.names():
        return [(("dataset",), f"no data set '{name}'. {yamlschema.known(name, data.names())}")]
    if not MODULE.fullmatch(name):
        message = f"the file data/{name}.py needs a name of lower-case letters, digits and _."
        return [(("dataset",), message)]
    found: list[tuple[tuple, str]] = []
    dataset = data.find(name)
    if dataset.KIND != kind:
        message = f"{run['family']} models learn from {kind}, {name} holds {dataset.KIND}."
        found.append((("dataset",), f"{message} Choose another data set or family."))
    elif kind == "images":
        found += _of_images(run, dataset)
    else:
        found += _of_text(run, dataset)
    for key in ("crop_scale", "crop_ratio"):
        low, high = run.get("augmentation", {}).get(key, (0, 0))
        if low > high:
            found.append((("augmentation", key), f"the range [{low}, {high}] is empty; turn it."))
    for key in ("mixup", "cutmix"):
        if run.get("augmentation", {}).get(key) and run["batch_size"] == 1:
            message = "a batch of one image has no other to mix it with."
            message = f"{message} Choose a larger batch_size, or write null."
            found.append((("augmentation", key), message))
    if run["schedule"]["name"] == "step" and not run["schedule"]["milestones"]:
        message = "a step schedule without milestones never steps. Add some, such as milestones: "
        found.append((("schedule", "name"), f"{message}[5, 8], or choose none."))
    if run["schedule"]["warmup_epochs"] > run["epochs"]:
        message = f"the warm-up is longer than the training of {run['epochs']} epochs; shorten it."
        found.append((("schedule", "warmup_epochs"), message))
    patience = run["early_stopping"]
    if patience and patience + 1 >= run["epochs"]:  # the first epoch is always the best so far
        message = f"no training of {run['epochs']} epochs ends early after {patience} without "
        message += "improvement. Choose less, or write null."
        found.append((("early_stopping",), message))
    return found


def _of_images(run: dict, dataset: ModuleType) -> list[tuple[tuple, str]]:
    found: list[tuple[tuple, str]] = []
    _, height, width = dataset.SHAPE
    if height != width:
        message = f"its images of {height} × {width} pixels are not square, as augmentation and "
        found.append((("dataset",), f"{message}models want them. Let its module cut or pad them."))
    if run["batch_size"] > dataset.EXAMPLES:  # no partial batch is trained on
        message = f"a batch of {run['batch_size']:,} is more than the {dataset.EXAMPLES:,} training"
        message = f"{message} images of {run['dataset']}. Choose a smaller one."
        found.append((("batch_size",), message))
    if run["family"] == "vit":
        found += _of_vit(run["model"], width)
    elif run["model"].get("name") == "densenet":
        found += _of_densenet(run["batch_size"], width)
    return found


def _of_densenet(batch_size: int, size: int) -> list[tuple[tuple, str]]:
    """It halves the image three times; batch norm wants more than one pixel in a batch."""
    if size < 8:
        message = f"densenet halves images three times, and these have {size} pixels. Choose "
        return [(("model", "name"), f"{message}another network.")]
    if size < 16 and batch_size == 1:
        message = "densenet leaves one pixel of these images, of which batch norm needs several."
        return [(("batch_size",), f"{message} Choose a larger one.")]
    return []


def _of_vit(model: dict, size: int) -> list[tuple[tuple, str]]:
    found: list[tuple[tuple, str]] = []
    if size % model["patch"]:
        message = f"images of {size} pixels cannot be cut into patches of {model['patch']}."
        found.append((("model", "patch"), f"{message} Choose a divisor."))
    if model["dim"] % model["heads"]:
        message = f"{model['heads']} heads cannot share a width (dim) of {model['dim']} equally."
        found.append((("model", "heads"), f"{message} Choose a divisor."))
    if model["drop_path"] and model["depth"] == 1:
        message = "the first block drops nothing, and with a depth of 1 there is no other."
        found.append((("model", "drop_path"), f"{message} Choose a larger depth, or write null."))
    return found


def _of_text(run: dict, dataset: ModuleType) -> list[tuple[tuple, str]]:
    found: list[tuple[tuple, str]] = []
    frozen = run["model"].get("embedding") == "gpt1"
    if frozen and dataset.TOKENIZER != "gpt1":
        message = f"gpt1 belongs to GPT-1's vocabulary, and {run['dataset']} has its own."
        found.append((("model", "embedding"), f"{message} Choose learned."))
    if frozen and run["model"]["embedding_size"] != gpt1.SIZE:
        message = f"GPT-1's embeddings have size {gpt1.SIZE}; write that."
        found.append((("model", "embedding_size"), message))
    if run["sequence_length"] > dataset.EXAMPLES:
        message = f"a sequence of {run['sequence_length']:,} is longer than the training part of "
        message += f"{run['dataset']}, about {dataset.EXAMPLES:,} tokens. Choose a shorter one."
        found.append((("sequence_length",), message))
    return found


def idle(own: dict, run: dict) -> list[tuple[tuple, str]]:
    """Return the (path, message) of what an experiment itself sets to no effect.

    `own` is what stands below its name, `run` its merged settings. What it inherits may wait for
    another experiment of the base; epochs, too, may be inherited, and fewer in an overlay.
    """
    schedule, optimizer = own.get("schedule", {}), own.get("optimizer", {})
    name, epochs = run["schedule"]["name"], own.get("epochs")
    found: list[tuple[tuple, str]] = []
    for key in ("milestones", "gamma"):
        if schedule.get(key) and name != "step":
            message = f"only a step schedule has {key}, and this one is {name}."
            found.append((("schedule", key), f"{message} Write name: step, or remove {key}."))
    if name == "step" and epochs and min(schedule.get("milestones") or [0]) >= epochs:
        message = f"every milestone lies beyond the training of {epochs} epochs, which never steps."
        found.append((("schedule", "milestones"), f"{message} Choose earlier ones."))
    if optimizer.get("momentum") and run["optimizer"]["name"] != "momentum":
        message = f"only the optimizer momentum has one, and this is {run['optimizer']['name']}."
        found.append((("optimizer", "momentum"), f"{message} Write name: momentum, or remove it."))
    return found
