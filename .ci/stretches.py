"""Instructions of a compiled kernel, a line for every stretch between jumps, labels and barriers.

    stretches.py CUBIN [KERNEL [LEAST]]

KERNEL is snel_step by default; stretches of fewer than LEAST (40) instructions are left out. `HMMA` are
products on tensor cores, `LDSM` loads of their operands, `MUFU` special functions; `loop` is a
stretch that jumps back to its own beginning. What a warp issues for a tile is the sum of the
stretches that it passes: no time, but the least of one, as a multiprocessor issues four a clock.

CUBIN is what `compile_kernels` of snel-cuda writes; needs cuobjdump (`.ci/kernels` fetches both
compiler and disassembler).
"""

import collections
import re
import sys

from machine_code import FUNCTION, cuobjdump

KINDS = ("HMMA", "LDSM", "LDS", "STS", "LDG", "STG", "MUFU", "BAR")
INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+((?:@!?U?P\w+\s+)?)([A-Z][A-Z0-9_.]*)(.*?);")
JUMPS = ("BRA", "EXIT", "RET", "BSYNC", "BAR")


def code_of(cubin, kernel):
    """(address, name, operands) of its instructions."""
    parts = FUNCTION.split(cuobjdump("--dump-sass", cubin))
    code = dict(zip(parts[1::2], parts[2::2]))
    if kernel not in code:
        sys.exit(f"stretches.py: {cubin} has no {kernel}, but {', '.join(sorted(code))}")
    found = INSTRUCTION.findall(code[kernel])
    return [(int(address, 16), name, operands) for address, _, name, operands in found]


def target_of(name, operands):
    """The address that an instruction names, if it is a jump or says where threads meet again."""
    named = re.search(r"0x([0-9a-f]+)\s*$", operands)
    return int(named[1], 16) if named and name.split(".")[0] in ("BRA", "BSSY", "CALL") else None


def stretches(code):
    begins = {target_of(name, operands) for _, name, operands in code}
    current = []
    for address, name, operands in code:
        if current and address in begins:
            yield current
            current = []
        current.append((address, name, operands))
        if name.split(".")[0] in JUMPS:
            yield current
            current = []
    if current:
        yield current


def main(cubin, kernel="snel_step", least="40"):
    print("  ".join(["address".rjust(7), "all".rjust(5), *(kind.rjust(4) for kind in KINDS)]))
    for stretch in stretches(code_of(cubin, kernel)):
        kinds = collections.Counter(name.split(".")[0] for _, name, _ in stretch)
        if len(stretch) < int(least):
            continue
        address, (_, name, operands) = stretch[0][0], stretch[-1]
        loop = "  loop" if target_of(name, operands) == address else ""
        counts = [str(kinds[kind] or "-").rjust(4) for kind in KINDS]
        print("  ".join([f"{address:7x}", str(len(stretch)).rjust(5), *counts]) + loop)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
