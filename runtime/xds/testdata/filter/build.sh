#!/bin/sh
# Builds filter.wasm from filter.c. It needs clang and wasm-ld (Debian: clang lld). The
# argument is where it goes, this folder when there is none.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -Wl,--allow-undefined -Wl,--strip-all -o "$out/filter.wasm" "$here/filter.c"
chmod 644 "$out/filter.wasm"
