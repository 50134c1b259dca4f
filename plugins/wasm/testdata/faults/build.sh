#!/bin/sh
# Builds fault.wasm from fault.c. It needs clang and wasm-ld (Debian: clang lld); the module
# in the repository is that of clang 14. The argument is where it goes, this folder when
# there is none.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
clang --target=wasm32 -nostdlib -ffreestanding -fno-builtin -Oz -Wall -Wno-incompatible-library-redeclaration \
	-DABI=0x021 -I"$here/../../internal/abitest" -Wl,--no-entry -Wl,--strip-all -o "$out/fault.wasm" "$here/fault.c"
chmod 644 "$out/fault.wasm"
