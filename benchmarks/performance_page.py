"""docs/performance.md from the JSON that the benchmarks write: every figure with its machine, versions and date.

for name in throughput memory scaling resume watch monte_carlo simulation launches
do python benchmarks/$name.py --json figures/$name.json; done
python benchmarks/performance_page.py figures > docs/performance.md

With ``--page docs/performance.md`` that file is written, and parts whose benchmarks are not in the folder stay as they
are in it, so that some can be measured anew:

for name in resume watch; do python benchmarks/$name.py --json figures/$name.json; done
python benchmarks/performance_page.py figures --page docs/performance.md

Other JSON in the folder is left alone. That of ``benchmarks/gpu.py``, which needs a GPU, fills the row of the
GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Figures = Mapping[str, Any]
Row = Sequence[str]

HEAD = """# Performance

What mapping costs in time and memory, measured. This page is made by a command from the JSON that the benchmarks write;
change those, not this page:

```
for name in throughput memory scaling resume watch monte_carlo simulation launches
do python benchmarks/$name.py --json figures/$name.json; done
python benchmarks/performance_page.py figures > docs/performance.md
```

Wall times hold for the machine that is named, and for its load: the mean number of processes that wanted a core in the
minute before. How to read these figures for other machines: [scale.md](scale.md)."""


def page(records: Mapping[str, Figures], kept: Mapping[str, str] | None = None) -> str:
    """Return the page.

    Parameters
    ----------
    records : mapping
        What each benchmark has written, by its name; one that is missing is said not to be measured.
    kept : mapping, optional
        The parts of an earlier page, by their titles, which stay where nothing is measured.

    Returns
    -------
    str
        Markdown.
    """
    parts, kept = [HEAD], kept or {}
    for name, (title, section) in SECTIONS.items():
        parts.append(f"## {title}")
        if name in records:
            parts += [_source(name, records[name]), *section(records[name])]
        else:
            parts.append(kept.get(title, f"Not measured here: `python benchmarks/{name}.py --json FILE`."))
    parts.append("## GPU")
    if "GPU" in kept and not records.keys() & {"gpu", "launches"}:
        parts.append(kept["GPU"])
    else:
        parts += [*_gpu(records.get("gpu")), *_launches(records.get("launches"))]
    return "\n\n".join(parts) + "\n"


def parts_of(page: str) -> dict[str, str]:
    """Return the parts of a page by their titles."""
    parts = (part.partition("\n") for part in f"\n{page}".split("\n## ")[1:])
    return {title: text.strip() for title, _, text in parts}


def records_in(folder: Path) -> dict[str, Figures]:
    """Return the figures in the JSON files of a folder, by benchmark.

    Raises
    ------
    SystemExit
        If a file is none of these, or a benchmark is there twice.
    """
    records: dict[str, Figures] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            name = str(data["benchmark"])
        except (ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"{path}: not written by a benchmark ({error!r}); take it out of the folder") from error
        if name in records:
            raise SystemExit(f"{path}: the figures of {name} are there twice; leave one of them in the folder")
        records[name] = data
    if not records:
        raise SystemExit(f"{folder}: no figures; make some with python benchmarks/throughput.py --json {folder}/t.json")
    return records


def _throughput(data: Figures) -> list[str]:
    total, windows = data["seconds_per_frame"], data["windows"]
    stages = [[stage, _ms(s), _percent(s / total)] for stage, s in data["stages"].items()]
    whole = ["**all**", f"**{_ms(total)}**", f"{windows / total:.0f} windows/s"]
    on_all, frames = data["on_all_threads"], data["paper_frames"]
    parts = [
        f"`map` with the default model and all outputs, from HDF5 to zarr: {_count(data['frames'], 'frame')} of 512², "
        f"spread over a simulation of the paper's movie, {windows} windows of 128² each, on one thread.",
        _table(["stage", "ms a frame", "share"], [*stages, whole]),
        f"The Fourier transforms of the windows alone take {_ms(data['fft'])} ms a frame: the whole is "
        f"{total / data['fft']:.0f} times that. On {_count(data['threads'], 'thread')} it maps "
        f"{windows / on_all:.0f} windows/s. The paper's movie of {frames} frames, recorded in "
        f"{data['paper_seconds']:g} s, would take {frames * on_all:.0f} s, projected from "
        f"{_count(data['frames'], 'frame')}; with {data['paper_samples']} draws for the σ of each window, the number "
        f"of the paper's passes, {frames * data['with_paper_samples']:.0f} s.",
    ]
    if data["parts"]:
        rows = [
            [row["part"], f"{row['windows_per_second']:.0f}", f"{1e3 / row['windows_per_second']:.3g}"]
            for row in data["parts"]
        ]
        parts.append(_table(["part, on all threads where not said otherwise", "windows/s", "ms a window"], rows))
    return parts


def _memory(data: Figures) -> list[str]:
    side, lazy, passed = data["side"], data["lazy"], data["passed"]
    rows = [
        [
            f"HDF5, {row['frames']} frames of {side}² float32, {row['megabytes_on_disk']:.0f} MB",
            "all",
            f"{row['peak_megabytes']:.0f} MB",
        ]
        for row in data["files"]
    ]
    movie = f"{lazy['gigabytes']:.0f} GB, {lazy['frames_of_the_whole']} frames of {side}² float32, made as it is read"
    rows += [[movie, f"{row['frames']} frames", f"{row['peak_megabytes']:.0f} MB"] for row in passed]
    return [
        _table(["movie", "mapped", "peak resident memory"], rows),
        f"The {lazy['gigabytes']:.0f} GB do not exist: each block is made when it is read, and only the frames named "
        f"were mapped. Over the last half of them memory grew by {data['megabytes_per_frame']:.4f} MB a frame, and a "
        f"frame took {data['seconds_per_frame']:.3f} s.",
    ]


def _scaling(data: Figures) -> list[str]:
    header = ["by", "windows a frame", "workers", "windows/s", "against 1 worker", "processor time a frame"]
    rows = [
        [
            row["way"],
            f"{row['windows']}{' and pixels' * row['pixels']}",
            str(row["workers"]),
            f"{row['frames'] * row['windows'] / row['seconds']:.0f}",
            f"{row['speedup']:.2f} ({row['speedup_if_alone']:.2f} by processor time)",
            f"{row['worked'] / row['frames']:.2f} s",
        ]
        for row in data["rows"]
    ]
    parts = [
        f"Frames of {data['side']}², default model, workers of one thread: processes as `map` takes them, and those of "
        "a dask cluster. The clock runs while all are busy.",
        _table(header, rows),
        "The processor time of the workers depends less on other work on the machine than the clock does: what it "
        "allows is the speedup where every worker has a core for itself.",
    ]
    if data["simulated"]:
        rows = [
            [
                str(row["workers"]),
                f"{row['frames'] / row['seconds']:.1f}",
                f"{row['efficiency']:.2f}",
                f"{_ms(row['own'] / row['frames'])} ms",
            ]
            for row in data["simulated"]
        ]
        parts += [
            f"Workers that wait {data['simulated'][0]['cost']:g} s instead of mapping a frame, and send back the map "
            "of one: what the parent costs where there are as many cores as workers.",
            _table(["workers", "frames/s", "efficiency", "processor time of the parent a frame"], rows),
        ]
    return parts


def _resume(data: Figures) -> list[str]:
    done = data["frames_done_when_killed"]
    runs = [
        ["mapped without interruption", _s(data["uninterrupted"])],
        [f"killed (`kill -9`) with {done} frames done, after", _s(data["until_killed"])],
        ["continued to the end by the same call", _s(data["continued"])],
        ["**lost by being killed**", f"**{_s(data['lost'])}**"],
        ["the same call on the finished result, which only checks it", _s(data["checked_again"])],
    ]
    costs = [
        ["opening a finished result", "open"],
        ["reading a frame and comparing it with its checksum", "check_per_frame"],
        ["of it the checksum", "checksum_per_frame"],
        ["writing a frame to a file of its own", "write_single_per_frame"],
        ["writing a frame, with its share of gathering its block", "write_per_frame"],
    ]
    return [
        f"{data['frames']} frames of {data['size']}², {data['windows']} windows each, default model; medians of "
        f"{_count(data['repeats'], 'repeat')}. The start of the process is in these times:",
        _table(["run", "time"], runs),
        f"In a process that runs already; the whole result is {data['files']} files:",
        _table(["", "ms"], [[what, _ms(data[key])] for what, key in costs]),
    ]


def _watch(data: Figures) -> list[str]:
    rows = [
        [
            "all outputs" if row["pixels"] else "`--no-pixels`",
            f"{row['rate']:.1f}",
            f"{_s(row['median'])} ({_s(row['longest'])})",
            _s(row["processor"]),
            f"{_s(row['delay'])} ({_s(row['longest_delay'])})",
        ]
        for row in data["rows"]
    ]
    titles = ["", "frames/s", "a frame, median (longest)", "of processor time", "from file to fractions (longest)"]
    return [
        f"`watch` on a folder of images of {data['size']}² that wait, {data['windows']} windows each, default model, "
        f"classified and stored: {_count(data['frames'], 'frame')} after the first {data['warm']}, by when the "
        "processes are there that a queue calls for; and on files that appear when the frame before is done, with "
        f"`--settle {data['settle']:g}`, which is in the time from file to fractions.",
        _table(titles, rows),
        "The processor time depends less on other work on the machine than the clock does: what it allows is the rate "
        "of one core that does nothing else.",
    ]


def _monte_carlo(data: Figures) -> list[str]:
    rows = [
        ["in batches, as `classify` does", _s(data["batched"])],
        ["pass by pass through the same network", _s(data["looped"])],
        ["ratio (lowest of the repeats)", f"{data['ratio']:.1f} ({data['lowest_ratio']:.1f})"],
    ]
    return [
        f"{data['passes']} passes of Monte-Carlo dropout of `dcnn-2018` on one window; medians of "
        f"{_count(data['repeats'], 'repeat')}.",
        _table(["", ""], rows),
        f"The means differ by at most {data['means_apart']:.2f} standard errors of the difference, the standard "
        f"deviations by at most {data['deviations_apart']:.4f}.",
    ]


def _simulation(data: Figures) -> list[str]:
    kinds: Mapping[str, Figures] = data["kinds"]
    rows = [
        [name, f"{kind['simulate']:.0f}", f"{kind['stream']:.0f}", f"{kind['ratio']:.1f}", f"{kind['busy_ratio']:.1f}"]
        for name, kind in kinds.items()
    ]
    header = ["windows/s", "`simulate`, one by one", "stream", "ratio", "ratio of the processor time of a window"]
    parts = [
        f"Windows of {data['side']}² by kind: one after another, and from the stream that a training reads, on all "
        f"threads; medians of {_count(data['repeats'], 'repeat')} in turns.",
        _table(header, rows),
    ]
    if data["card"]:
        rows = [
            [name, f"{kind['card']:.0f}", f"{kind['median_difference']:.1g}", f"{kind['share_apart']:.1g}"]
            for name, kind in kinds.items()
        ]
        header = ["windows/s", data["card"], "median difference from the processor, of 255", "pixels apart by over 1"]
        parts.append(_table(header, rows))
    return parts


def _gpu(data: Figures | None) -> list[str]:
    header = ["on a GPU", "windows/s"]
    if data is None:
        return [_table(header, [["all parts", "not measured here"]])]
    speeds = [
        (f"`default` alone, {part}", value) for part, value in data.get("classifier", {}).items() if "draws" in part
    ]
    speeds += [
        (f"`map`, {part}", value["windows_per_second"])
        for part, value in data.get("map", {}).items()
        if isinstance(value, dict)
    ]
    speeds += [(part, value) for part, value in data.get("networks", {}).items() if "passes" in part]
    apart = [found["largest_difference"] for found in data.get("answers", {}).values() if isinstance(found, dict)]
    said = f" No probability differs from the processor's by more than {max(apart):.1g}." if apart else ""
    return [
        _source("gpu", data),
        f"On one {data['device']}.{said}",
        _table(header, [[part, f"{value:.0f}"] for part, value in speeds]),
    ]


def _launches(data: Figures | None) -> list[str]:
    if data is None:
        return []
    rows = []
    for name, part in data["parts"].items():
        most = [f"{module.removesuffix('.py')} {number}" for module, number in list(part["modules"].items())[:4]]
        rows.append([name, str(part["operations"]), str(part["waits"]), ", ".join(most)])
    return [
        _source("launches", data),
        "What a GPU is asked for, counted on a processor: operations, each of which is a launch however little it has "
        "to do, and how often Python waits for an answer. They grow little with the number of windows or of frames.",
        _table(["at once", "operations", "waits", "most of them"], rows),
    ]


SECTIONS: dict[str, tuple[str, Callable[[Figures], list[str]]]] = {
    "throughput": ("Where the time goes", _throughput),
    "memory": ("Memory", _memory),
    "scaling": ("Workers", _scaling),
    "resume": ("Being killed, and being safe", _resume),
    "watch": ("Live", _watch),
    "monte_carlo": ("Monte-Carlo dropout", _monte_carlo),
    "simulation": ("Simulation", _simulation),
}


def _source(name: str, data: Figures) -> str:
    load = data.get("load")
    busy = "" if load is None else f" Load before the run: {load:.1f}."
    return f"`benchmarks/{name}.py`, {data['date']}: {data['machine']}.{busy}"


def _table(header: Row, rows: Sequence[Row]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _s(seconds: float) -> str:
    return f"{seconds:.3g} s"


def _ms(seconds: float) -> str:
    milliseconds = 1e3 * seconds
    return f"{milliseconds:.0f}" if milliseconds >= 10 else f"{milliseconds:.2g}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, help="of the JSON files")
    options.add_argument("--page", type=Path, help="the page to write; parts that are not measured stay as they are")
    asked = options.parse_args(arguments)
    if asked.page is None:
        sys.stdout.write(page(records_in(asked.folder)))
        return
    kept = parts_of(asked.page.read_text(encoding="utf-8")) if asked.page.exists() else {}
    asked.page.write_text(page(records_in(asked.folder), kept), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
