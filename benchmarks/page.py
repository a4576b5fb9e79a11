"""The page of measurements, docs/benchmarks.md, from docs/benchmarks.json."""

from __future__ import annotations

from growth import measured, power_law

GROWTH_FIGURE = "images/growth.png"  # beside the page


def make_page(results: dict) -> str:
    """Markdown, a section for each that was measured.

    Args:
        results: section → ``rows``, ``command``, ``date``, ``machine``, ``software``, ``runs``.
    """
    parts = [
        "# Benchmarks\n\nSpeed, measured side by side by `make bench`: medians, after one call "
        "that is not counted; methods that are compared take turns. What is missing was not "
        "measured."
    ]
    if not results:
        parts.append("Nothing was measured yet.")
    for name, write in SECTIONS.items():
        if name in results:
            section = results[name]
            parts += [f"## {name.capitalize()}", write(section["rows"]), _footer(section)]
    return "\n\n".join(parts) + "\n"


def _footer(section):
    machine = section["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in section["software"].items())
    runs = f"Median of {section['runs']}."
    return (
        f"{runs} {machine['cores']} cores of {machine['processor']}; {versions}; "
        f"{section['date']}.\n\n`{section['command']}`"
    )


def _table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value, form):
    return "" if value is None else form.format(value)


def _size(shape):
    return " × ".join(map(str, shape))


def _warp(rows):
    base = rows[0]
    body = [
        [
            row["method"],
            _number(1e3 * row["forward"], "{:.1f}"),
            _number(row["forward"] / base["forward"], "{:.2f}"),
            _number(row["gradient"] and 1e3 * row["gradient"], "{:.1f}"),
            _number(row["gradient"] and row["gradient"] / base["gradient"], "{:.2f}"),
        ]
        for row in rows
    ]
    head = ["method", "forward (ms)", "ratio", "forward and gradient (ms)", "ratio"]
    size = f"One volume of {_size(base['shape'])}; ratios to the first row. "
    return f"{size}The gradient is for the grid.\n\n" + _table(head, body)


def _forward(rows):
    body = [
        [
            row["preset"],
            _size(row["shape"]),
            f"{row['seconds']:.3f}",
            f"{row['convolutions'] / 1e9:.0f}",
            f"{row['matrix_product'] / 1e9:.0f}",
            f"{100 * row['convolutions'] / row['matrix_product']:.0f} %",
        ]
        for row in rows
    ]
    head = ["preset", "volume", "seconds", "convolutions (GFLOP/s)"]
    table = _table([*head, "matrix product (GFLOP/s)", "ratio"], body)
    return f"{table}\n\nThe rate counts the convolutions' operations in the time of the whole pass."


def _growth(rows):
    body = [
        [
            row["preset"],
            f"{row['size']}³",
            f"{row['seconds']:.3f}",
            f"{row['memory'] / 1e9:.2f}",
            f"{row['added'] / 1e9:.2f}",
        ]
        for each in measured(rows).values()
        for row in each
    ]
    head = ["preset", "volume", "seconds", "peak memory (GB)", "of which the pass (GB)"]
    laws = [
        [name, *(f"voxels^{law[1]:.2f}" if law else "" for law in _laws(each))]
        for name, each in measured(rows).items()
    ]
    text = [
        "One forward pass, each size in a process of its own. The pass's memory is what comes on "
        "top of a process that has passed a small volume.",
        _table(head, body),
        "Laws through the largest sizes of each, four at most:",
        _table(["preset", "time", "memory of the pass"], laws),
        f"![Time and memory over the volume, log scales]({GROWTH_FIGURE})",
    ]
    left_out = [
        f"{row['preset']} at {', '.join(f'{size}³' for size in row['sizes'])} ({row['left_out']})"
        for row in rows
        if "left_out" in row
    ]
    if left_out:
        text.insert(2, f"Left out, with the reason of the smallest: {'; '.join(left_out)}.")
    return "\n\n".join(text)


def _laws(rows):
    return [power_law(rows, cost) for cost in ("seconds", "added")]


def _registration(rows):
    timed = [row["seconds"] for row in rows if row.get("other") and row["seconds"]]
    fastest = min(timed, default=None)
    body = [
        [
            row["method"],
            _number(row["seconds"], "{:.2f}"),
            _number(row["seconds"] and fastest and fastest / row["seconds"], "{:.1f}"),
            _number(row.get("tre"), "{:.2f}"),
            _number(row.get("tre_median"), "{:.2f}"),
            _number(row.get("dice"), "{:.1f}"),
            _number(row.get("folds") and 100 * row["folds"], "{:.3f}"),
        ]
        for row in rows
    ]
    errors = ("TRE, mean (mm)", "median (mm)")
    head = ["method", "seconds", "times as fast", *errors, "Dice (%)", "folded (%)"]
    text = "Files in, displacement and warped image out; compared with the fastest other software."
    return f"{text}\n\n" + _table(head, body)


def _training(rows):
    body = [
        [
            row["preset"],
            f"{row['batch']} × {_size(row['shape'])}",
            f"{row['update']:.3f}",
            f"{row['forward']:.3f}",
            f"{row['backward'] - row['forward']:.3f}",
            f"{100 * row['waiting']:.1f}",
        ]
        for row in rows
    ]
    head = ["preset", "batch", "step (s)", "forward (s)", "backward (s)", "waits for input (%)"]
    return _table(head, body)


def _serving(rows):
    load = [row for row in rows if "clients" in row]
    body = [
        [
            row["name"],
            str(row["clients"]),
            f"{row['throughput']:.2f}",
            f"{row['median']:.3f}",
            f"{row['p95']:.3f}",
            f"{100 * row['outside']:.1f}",
            f"{1e3 * (1 / row['throughput'] - row['model']):.0f}",
        ]
        for row in load
    ]
    head = ["preset", "clients", "pairs/s", "median (s)", "95th percentile (s)"]
    text = f"`tf-lungreg serve` in a process of its own, volumes of {_size(load[0]['shape'])}. "
    text += "It runs one pass at a time; outside the model: sending, reading, copying."
    text += "\n\n" + _table([*head, "outside the model (%)", "outside, a pair (ms)"], body)
    rounds = [row for row in rows if "memory" in row]
    if rounds:
        growth = 100 * (rounds[-1]["memory"] / rounds[0]["memory"] - 1)
        good = ", ".join(f"{row['right']} of {row['right'] + row['wrong']}" for row in rounds)
        bad = ", ".join(
            f"{row['refused']} of {row['refused'] + row['not_refused']}" for row in rounds
        )
        text += f"\n\nTwo rounds from 8 clients: good requests answered rightly {good}; malformed "
        text += f"ones refused with INVALID_ARGUMENT {bad}; the server's memory {growth:+.1f} %."
    return text


SECTIONS = {
    "warp": _warp,
    "forward": _forward,
    "growth": _growth,
    "registration": _registration,
    "training": _training,
    "serving": _serving,
}
