"""`edgessd targets`: list all targets."""

from __future__ import annotations

from edgessd.cli.console import JsonFlag, print_json


def command(as_json: JsonFlag = False) -> None:
    """List the devices that `build` makes bundles for.

    Example: edgessd targets
    """
    import msgspec

    from edgessd.target.load import list_targets

    specs = list_targets()
    if as_json:
        print_json({"targets": [msgspec.to_builtins(spec) for spec in specs]})
        return

    from rich.console import Console
    from rich.table import Table

    profiles = {profile for spec in specs for profile in spec.profiles}
    table = Table(box=None, pad_edge=False)
    for column in ("target", "device", "engine", "input", "runs on"):
        table.add_column(column)
    for spec in specs:
        indent = "  " if spec.name in profiles else ""
        half = "float16" if spec.engine.format == "tensorrt" else "float32"
        form = {"float": half, "affine": "int8", "symmetric": "int8 symmetric"}
        table.add_row(
            f"{indent}{spec.name}",
            spec.title,
            f"{spec.engine.format}, {form[spec.engine.scheme]}",
            spec.engine.input_dtype,
            ", ".join(spec.backends),
        )
    console = Console(highlight=False)
    console.print(table)
    pending: dict[str, list[str]] = {}
    for spec in specs:
        for sentence in spec.pending:
            pending.setdefault(sentence, []).append(spec.name)
    for sentence, names in pending.items():
        console.print(f"\n{', '.join(names)}, not done yet: {sentence}.", soft_wrap=True)
