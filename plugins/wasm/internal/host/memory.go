package host

import (
	"unsafe"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
)

// bytes returns the guest's memory at a pointer, without copying: it is valid
// until the guest runs or its memory grows, and never kept.
func (i *Instance) bytes(pointer, size uint64) ([]byte, bool) {
	b, ok := i.memory.Read(uint32(pointer), uint32(size))
	i.spend(ofBytes(len(b)))
	return b, ok
}

// text is bytes as a string; it changes when the guest's memory does.
func (i *Instance) text(pointer, size uint64) (string, bool) {
	b, ok := i.bytes(pointer, size)
	return unsafe.String(unsafe.SliceData(b), len(b)), ok
}

// answer hands data to the guest: it allocates in the guest's memory, and
// writes the address and the size to where the guest asked for them. Nothing
// is allocated for no data.
func (i *Instance) answer(pointer, size uint64, data string) abi.Status {
	return i.answerBytes(pointer, size, readOnly(data))
}

func (i *Instance) answerBytes(pointer, size uint64, data []byte) abi.Status {
	i.spend(ofBytes(len(data)))
	address, ok := i.allocate(data)
	if !ok || !i.memory.WriteUint32Le(uint32(pointer), address) || !i.memory.WriteUint32Le(uint32(size), uint32(len(data))) {
		return abi.InvalidMemoryAccess
	}
	return abi.Ok
}

func (i *Instance) answer32(pointer uint64, v uint32) abi.Status {
	if !i.memory.WriteUint32Le(uint32(pointer), v) {
		return abi.InvalidMemoryAccess
	}
	return abi.Ok
}

func (i *Instance) answer64(pointer uint64, v uint64) abi.Status {
	if !i.memory.WriteUint64Le(uint32(pointer), v) {
		return abi.InvalidMemoryAccess
	}
	return abi.Ok
}

// allocate copies data into memory that the guest's allocator gives. data may
// not lie in the guest's memory, which the allocator may move. An allocator
// that traps ends the instance: the trap goes on through the call that is
// running. One that is entered again, because it calls back for memory itself,
// gets none.
func (i *Instance) allocate(data []byte) (address uint32, ok bool) {
	if len(data) == 0 {
		return 0, true
	}
	if i.allocating || uint64(len(data)) > maxMemory {
		return 0, false
	}
	i.allocating = true
	current := i.current
	i.malloc.stack[0] = uint64(len(data))
	err := i.malloc.fn.CallWithStack(i, i.malloc.stack[:])
	i.allocating = false
	i.current = current
	if err != nil {
		panic(err)
	}
	address = uint32(i.malloc.stack[0])
	return address, address != 0 && i.memory.Write(address, data)
}

// readOnly is the bytes of a string that nobody writes to.
func readOnly(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
