#!/bin/sh
# Builds everything-c.wasm from everything.c. It needs clang and wasm-ld (Debian: clang lld);
# the module in the repository is that of clang 14. The argument is where it goes, this
# folder when there is none.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
clang --target=wasm32 -std=c11 -nostdlib -ffreestanding -fno-builtin -Oz -Wall \
	-Wl,--no-entry -Wl,--stack-first -Wl,--strip-all -o "$out/everything-c.wasm" "$here/everything.c"
chmod 644 "$out/everything-c.wasm"
