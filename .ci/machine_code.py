"""What the machine code of compiled kernels must be like.

    python3 .ci/machine_code.py LIST FOLDER

LIST has one specialisation a line: `-DNAME=VALUE` words, and words for this script:

    registers=N        registers of a thread at most; by default what lets a block of SNEL_THREADS
                       threads start, 65536 / SNEL_THREADS, or 255
    tensor=A,B         kernels that must use tensor cores; by default those of TENSOR, unless
                       SNEL_PRECISION is 0 (fp32), where none may

FOLDER has LINE.ARCHITECTURE.cubin for each. Prints a table, and fails if a kernel keeps anything in
local memory (spilled registers, arrays with indices that are not known), takes more registers, or
multiplies on other units than it should.
"""

import pathlib
import re
import subprocess
import sys

REGISTERS_OF_A_MULTIPROCESSOR = 65536
MOST_REGISTERS = 255
# Kernels that do the network's products.
TENSOR = ("snel_step", "snel_score")

RESOURCES = re.compile(r"Function (\S+):\s*\n\s*REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
FUNCTION = re.compile(r"^\s*Function : (\S+)", re.MULTILINE)


def specialisations(path):
    """Line number to (definitions, settings)."""
    found = {}
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        words = line.split("#")[0].split()
        defined = dict((w[2:].split("=", 1) + ["1"])[:2] for w in words if w.startswith("-D"))
        if defined:
            found[number] = (defined, dict(w.split("=", 1) for w in words if not w.startswith("-D")))
    return found


def cuobjdump(option, cubin):
    done = subprocess.run(["cuobjdump", option, cubin], capture_output=True, text=True, check=True)
    return done.stdout


def kernels(cubin):
    """Name to (registers, stack and local bytes, fixed shared bytes, instructions by name)."""
    resources = {
        name: tuple(int(n) for n in numbers)
        for name, *numbers in RESOURCES.findall(cuobjdump("--dump-resource-usage", cubin))
    }
    parts = FUNCTION.split(cuobjdump("--dump-sass", cubin))[1:]
    code = dict(zip(parts[::2], parts[1::2]))
    assert resources.keys() == code.keys() and resources, f"{cubin}: {resources.keys()} {code.keys()}"
    return {
        name: (registers, stack + local, shared, instructions(code[name]))
        for name, (registers, stack, shared, local) in resources.items()
    }


def instructions(sass):
    counts = {}
    for name in re.findall(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9]*)", sass, re.MULTILINE):
        counts[name] = counts.get(name, 0) + 1
    return counts


def judge(defined, settings, name, kernel):
    """What is wrong with a kernel."""
    registers, local, _, code = kernel
    threads = int(defined.get("SNEL_THREADS", "256"))
    most = int(settings.get("registers", min(MOST_REGISTERS, REGISTERS_OF_A_MULTIPROCESSOR // threads)))
    if registers > most:
        yield f"takes {registers} registers, {most} at most"
    moves = sum(code.get(move, 0) for move in ("LDL", "STL"))
    if local or moves:
        yield f"keeps {local} bytes in local memory, {moves} loads and stores"
    products = sum(code.get(product, 0) for product in ("HMMA", "HGMMA"))
    if "tensor" in settings:
        tensor = name in settings["tensor"].split(",")
    else:
        tensor = defined.get("SNEL_PRECISION", "0") != "0" and name in TENSOR
    if tensor and not products:
        yield "does not use tensor cores"
    if products and not tensor:
        yield f"uses tensor cores ({products} instructions)"


def main(path, folder):
    faults, rows = [], []
    for number, (defined, settings) in specialisations(path).items():
        cubins = sorted(pathlib.Path(folder).glob(f"{number}.*.cubin"))
        if not cubins:
            faults.append(f"line {number} was not compiled")
        for cubin in cubins:
            architecture = cubin.name.split(".")[1]
            for name, kernel in sorted(kernels(cubin).items()):
                registers, local, shared, code = kernel
                products = code.get("HMMA", 0) + code.get("HGMMA", 0)
                row = (number, architecture, name, registers, local, shared, products, code.get("FFMA", 0), sum(code.values()))
                rows.append([str(cell) for cell in row])
                wrong = judge(defined, settings, name, kernel)
                faults.extend(f"line {number}, {architecture}, {name}: {fault}" for fault in wrong)
    head = ["line", "architecture", "kernel", "registers", "local B", "shared B", "HMMA", "FFMA", "instructions"]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))))
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(rows)} kernels, {len(faults)} faults")
    return 1 if faults or not rows else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
