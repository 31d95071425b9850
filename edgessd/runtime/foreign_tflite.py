"""Read how to run a detector from its .tflite, if edgessd didn't make it.

Sources are the detection op (its output tensors and number of classes), the signature, and TFLite Metadata
if there is any: normalization, color space, and the label file in the zip appended to the flatbuffer. Field
numbers are those of TensorFlow Lite's schema.fbs and of metadata_schema.fbs.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import msgspec

from edgessd.core.contract import Preprocess, Triple
from edgessd.core.errors import BackendError
from edgessd.core.network_tensors import DETECTION_OP
from edgessd.core.tensors import TensorSpec
from edgessd.runtime.flatbuffer_view import (
    DamagedBufferError,
    Table,
    flexbuffer_numbers,
    root_table,
)
from edgessd.runtime.postprocess_op import OpOutputs, outputs_by_name

_METADATA_NAME = "TFLITE_METADATA"
_NORMALIZATION = 1  # ProcessUnitOptions.NormalizationOptions
_IMAGE = 2  # ContentProperties.ImageProperties
_GRAYSCALE = 2  # ColorSpaceType.GRAYSCALE
_VALUE_LABELS = 3  # AssociatedFileType.TENSOR_VALUE_LABELS
_NOT_A_CLASS = ("???", "background", "__background__", "_background_")


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignModel:
    """Description of a foreign detector.

    Attributes:
        outputs: Names of the four output tensors of its detection op.
        labels: Class names; class k is `labels[k]`.
        preprocess: Preprocessing with the stated normalization, else with plain pixels.
        notes: Assumptions for what the file doesn't state, in sentences for a person.
    """

    outputs: OpOutputs
    labels: tuple[str, ...]
    preprocess: Preprocess
    notes: tuple[str, ...]


def read_foreign_model(
    path: Path,
    image: TensorSpec,
    outputs: tuple[TensorSpec, ...],
    *,
    labels_file: Path | None = None,
) -> ForeignModel:
    """Read everything that a .tflite needs to run as a detector.

    Args:
        path: A .tflite.
        image: Its input, from the interpreter.
        outputs: Its outputs, from the interpreter.
        labels_file: File with one label a line, instead of the model's own labels.

    Raises:
        BackendError: The file isn't a detector with a detection op, or its outputs are ambiguous.
    """
    data = memoryview(path.read_bytes())
    try:
        model = root_table(data)
        op = _find_op(model)
        roles = _find_outputs(model, op, outputs)
        metadata = _find_metadata(model)
        class_count = _class_count(op)
        names, label_note = _find_labels(path, data, metadata, class_count, labels_file)
        preprocess, pixel_note = _find_preprocess(metadata, image)
    except DamagedBufferError as error:
        raise BackendError(
            f"{path} can't be read as a .tflite", found=str(error), fix="Download it again"
        ) from error
    return ForeignModel(
        outputs=roles,
        labels=names,
        preprocess=preprocess,
        notes=tuple(note for note in (label_note, pixel_note) if note),
    )


def _find_op(model: Table) -> Table | None:
    """Find the last detection op of the first subgraph: Model.subgraphs[0].operators."""
    codes = [code.text(1) for code in model.tables(1)]  # OperatorCode.custom_code
    subgraphs = model.tables(2)
    operators = subgraphs[0].tables(3) if subgraphs else []
    found = [op for op in operators if codes[int(op.number(0, "I"))] == DETECTION_OP]
    return found[-1] if found else None


def _find_outputs(model: Table, op: Table | None, outputs: tuple[TensorSpec, ...]) -> OpOutputs:
    """Identify the outputs by the op, which is certain, else by the signature, else by tensor names."""
    if op is not None:
        tensors = [tensor.text(3) for tensor in model.tables(2)[0].tables(0)]  # Tensor.name
        written = [tensors[int(index)] for index in op.numbers(2, "i")]
        if len(written) >= 4 and set(written[:4]) <= {output.name for output in outputs}:
            boxes, classes, scores, count = written[:4]
            return OpOutputs(boxes=boxes, classes=classes, scores=scores, count=count)
    roles = _outputs_by_signature(model, outputs) or outputs_by_name(outputs)
    if roles is None:
        raise BackendError(
            "This .tflite isn't a detector that edgessd can run",
            expected=f"one that ends in {DETECTION_OP}, or a bundle made by `edgessd build`",
            found="outputs " + ", ".join(f"{o.name} {o.shape}" for o in outputs),
        )
    return roles


def _outputs_by_signature(model: Table, outputs: tuple[TensorSpec, ...]) -> OpOutputs | None:
    """Identify the outputs by the names in SignatureDef.outputs."""
    tensors = [tensor.text(3) for tensor in model.tables(2)[0].tables(0)]
    specs = {output.name: output for output in outputs}
    for signature in model.tables(7):  # Model.signature_defs
        by_key = {
            entry.text(0): tensors[int(entry.number(1, "I"))]  # TensorMap.name, .tensor_index
            for entry in signature.tables(1)
        }
        roles = outputs_by_name(
            msgspec.structs.replace(specs[name], name=key)
            for key, name in by_key.items()
            if name in specs
        )
        if roles is not None:
            return OpOutputs(
                boxes=by_key[roles.boxes],
                classes=by_key[roles.classes],
                scores=by_key[roles.scores],
                count=by_key[roles.count],
            )
    return None


def _class_count(op: Table | None) -> int | None:
    """Read `num_classes` of the op's options, without the background; None if not stated."""
    if op is None:
        return None
    count = flexbuffer_numbers(op.block(5)).get("num_classes")  # Operator.custom_options
    return None if count is None else int(count)


def _find_metadata(model: Table) -> Table | None:
    """Find SubGraphMetadata of the first subgraph: Model.metadata → buffer → ModelMetadata."""
    for entry in model.tables(6):
        if entry.text(0) != _METADATA_NAME:
            continue
        buffer = model.tables(4)[int(entry.number(1, "I"))]
        subgraphs = root_table(buffer.block(0)).tables(3)
        return subgraphs[0] if subgraphs else None
    return None


def _find_labels(
    path: Path,
    data: memoryview,
    metadata: Table | None,
    class_count: int | None,
    labels_file: Path | None,
) -> tuple[tuple[str, ...], str | None]:
    """Find the labels, and a sentence on their source if they aren't the model's own."""
    beside = path.with_name("labelmap.txt")
    if labels_file is not None:
        names, note = read_labels(labels_file), None
    elif packed := _packed_labels(path, data, metadata):
        names, note = packed, None
    elif beside.is_file():
        names, note = read_labels(beside), f"Labels come from {beside.name} beside the model"
    elif class_count is not None:
        note = "The model has no labels: classes are named by their numbers; give --labels FILE"
        return tuple(str(number) for number in range(class_count)), note
    else:
        raise BackendError(
            f"{path} has no labels and no number of classes",
            expected="TFLite metadata with a label file, or labelmap.txt beside the model",
            fix="Give the model's label file with --labels",
        )
    return distinct_labels(names, class_count, path), note


def read_labels(path: Path) -> list[str]:
    """Read a file with one label a line, or with lines such as "3  car" in Coral's form.

    Raises:
        BackendError: The file can't be read or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BackendError(
            f"The label file {path} can't be read", found=str(error), fix="Name a text file"
        ) from error
    names = _label_lines(text)
    if not names:
        raise BackendError(
            f"The label file {path} is empty", expected="one label a line", fix="Name another file"
        )
    return names


def _label_lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [line.split(maxsplit=1) for line in lines]
    if not lines or not all(len(parts) == 2 and parts[0].isdigit() for parts in numbered):
        return lines
    # Coral's files skip numbers of classes that were never annotated.
    by_number = {int(number): name for number, name in numbered}
    return [by_number.get(number, "???") for number in range(max(by_number) + 1)]


def distinct_labels(names: Sequence[str], class_count: int | None, path: Path) -> tuple[str, ...]:
    """Make the labels such that class k of the op is label k and no name appears twice.

    The op doesn't count the background, so a first line for the background is dropped if there is one line
    too many. COCO's maps have "???" for numbers that were never used; these become names such as "class 11".
    """
    offset = 0
    first = names[0].lower() in _NOT_A_CLASS
    if first and (class_count is None or len(names) > class_count):
        offset = 1
    kept = list(names[offset:])
    if class_count is not None and len(kept) < class_count:
        # Coral's and COCO's files end with the last class that has a name.
        kept += ["???"] * (class_count - len(kept))
    named = [f"class {number}" if name == "???" else name for number, name in enumerate(kept)]
    if len(set(named)) != len(named):
        twice = sorted({name for name in named if named.count(name) > 1})
        raise BackendError(
            f"The labels of {path} aren't distinct",
            found=", ".join(twice[:5]),
            fix="Give a corrected label file with --labels",
        )
    return tuple(named)


def _packed_labels(path: Path, data: memoryview, metadata: Table | None) -> list[str] | None:
    """Read the label file that the metadata names from the zip appended to the model."""
    if metadata is None:
        return None
    wanted = [
        file.text(0)
        for tensor in metadata.tables(3)  # output_tensor_metadata
        for file in tensor.tables(6)  # associated_files
        if file.number(2, "b") == _VALUE_LABELS
    ]
    if not wanted:
        return None
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return _label_lines(archive.read(wanted[0]).decode("utf-8"))
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise BackendError(
            f"The metadata of {path} names the label file {wanted[0]}, which can't be read",
            found=str(error),
            fix="Download the model again, or give its label file with --labels",
        ) from error


def _find_preprocess(metadata: Table | None, image: TensorSpec) -> tuple[Preprocess, str | None]:
    """Take the metadata's normalization; without one, pixels as they are, or scaled to -1 to 1."""
    if image.layout != "NHWC":
        raise BackendError(
            "The model's input isn't a color image",
            expected="(1, height, width, 3)",
            found=f"{image.name} {image.shape}",
        )
    stated = _stated_normalization(metadata)
    quantization = image.quantization
    if quantization is not None and (image.dtype == "uint8" or stated is None):
        # A uint8 input takes pixel bytes unchanged, in spite of the metadata about the float model:
        # TensorFlow Lite's Task Library does the same. An int8 input takes the bytes minus 128. This mean
        # and std express that in real numbers.
        middle = float(quantization.zero_point + (128 if image.dtype == "int8" else 0))
        note = "The model doesn't state its normalization: its input gets RGB pixels as they are"
        preprocess = _preprocess(image, (middle,) * 3, (1 / quantization.scale,) * 3)
        return preprocess, note if stated is None else None
    if stated is not None:
        return _preprocess(image, *stated), None
    note = "The model doesn't state its normalization: its input gets (pixel - 127.5) / 127.5, RGB"
    return _preprocess(image, (127.5,) * 3, (127.5,) * 3), note


def _stated_normalization(metadata: Table | None) -> tuple[Triple, Triple] | None:
    """Read mean and std from the metadata's NormalizationOptions."""
    tensors = [] if metadata is None else metadata.tables(2)  # input_tensor_metadata
    if not tensors:
        return None
    _require_rgb(tensors[0])
    for unit in tensors[0].tables(4):  # process_units
        options = unit.table(1)
        if unit.number(0, "B") == _NORMALIZATION and options is not None:
            return _triple(options.numbers(0, "f")), _triple(options.numbers(1, "f"))
    return None


def _require_rgb(tensor: Table) -> None:
    content = tensor.table(3)  # TensorMetadata.content
    if content is None or content.number(0, "B") != _IMAGE:
        return
    properties = content.table(1)
    if properties is not None and properties.number(0, "b") == _GRAYSCALE:
        raise BackendError(
            "The model's input is a gray image", expected="a color detector", found="GRAYSCALE"
        )


def _triple(values: list[float]) -> Triple:
    """Make three values, one a channel; a single value counts for all three."""
    if len(values) == 1:
        return (values[0],) * 3
    if len(values) != 3:
        raise BackendError(
            "The metadata's normalization can't be applied",
            expected="1 or 3 values",
            found=f"{len(values)}",
        )
    return (values[0], values[1], values[2])


def _preprocess(image: TensorSpec, mean: Triple, std: Triple) -> Preprocess:
    _, height, width, _ = image.shape
    return Preprocess(width=width, height=height, resize="stretch", mean=mean, std=std)
