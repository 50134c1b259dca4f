#!/bin/sh
# Builds abi010.wasm, abi020.wasm and abi021.wasm from guest.c. It needs clang and wasm-ld
# (Debian: clang lld); the modules in the repository are those of clang 14. The argument
# is where they go, this folder when there is none.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
for abi in 010 020 021; do
	old=
	[ $abi = 010 ] && old=-DOLD_WASI
	clang --target=wasm32 -nostdlib -ffreestanding -fno-builtin -Oz -Wall -Wno-incompatible-library-redeclaration -Wno-unused-function \
		-DABI=0x$abi $old -Wl,--no-entry -Wl,--strip-all -o "$out/abi$abi.wasm" "$here/guest.c"
	chmod 644 "$out/abi$abi.wasm"
done
