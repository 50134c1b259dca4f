package host

import (
	"crypto/rand"
	"encoding/binary"
	"time"
	"unsafe"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
)

// Error numbers of WASI (wasi_snapshot_preview1, errno).
const (
	wasiOk     = 0
	wasiBadF   = 8
	wasiNotDir = 20 // sic: Envoy's
	wasiFault  = 21
	wasiInval  = 28
	wasiNoEnt  = 44
	wasiNoSys  = 52
	wasiNotSup = 58
)

// wasiUnsupported answers for all of WASI that Envoy has in name only.
func wasiUnsupported(*Instance, []uint64) uint32 { return wasiNotSup }

func wasiNothing(*Instance, []uint64) uint32 { return wasiOk }

func wasiAlways(e uint32) func(*Instance, []uint64) uint32 {
	return func(*Instance, []uint64) uint32 { return e }
}

// wasi is what a guest gets of WASI: its log, the clock, random numbers and the
// environment of its document. No file, no socket, no time to sleep in. What
// each function answers is what Envoy 1.40 was seen to answer.
var wasi = map[string]func(*Instance, []uint64) uint32{
	"args_get":              wasiNothing,
	"args_sizes_get":        wasiArgsSizes,
	"environ_get":           wasiEnviron,
	"environ_sizes_get":     wasiEnvironSizes,
	"clock_res_get":         wasiResolution,
	"clock_time_get":        wasiClock,
	"fd_advise":             wasiNothing,
	"fd_allocate":           wasiNothing,
	"fd_close":              wasiNothing,
	"fd_datasync":           wasiNothing,
	"fd_fdstat_get":         wasiStat,
	"fd_fdstat_set_flags":   wasiAlways(wasiNoSys),
	"fd_fdstat_set_rights":  wasiNothing,
	"fd_filestat_get":       wasiAlways(wasiBadF),
	"fd_filestat_set_size":  wasiNothing,
	"fd_filestat_set_times": wasiNothing,
	"fd_pread":              wasiAlways(wasiNoSys),
	"fd_prestat_get":        wasiAlways(wasiBadF), // ends wasi-libc's scan
	"fd_prestat_dir_name":   wasiAlways(wasiNoSys),
	"fd_pwrite":             func(i *Instance, p []uint64) uint32 { return i.wasiWrite(p, p[4]) },
	"fd_read":               wasiAlways(wasiNoSys),
	"fd_readdir":            wasiAlways(wasiNotDir),
	"fd_seek":               wasiNothing,
	"fd_sync":               wasiNothing,
	"fd_tell":               wasiNothing,
	"fd_write":              func(i *Instance, p []uint64) uint32 { return i.wasiWrite(p, p[3]) },
	"path_open":             wasiAlways(wasiNoEnt),
	"poll_oneoff":           wasiPoll,
	"proc_exit":             wasiNothing, // must not end the instance: TinyGo and Rust exit from _start
	"random_get":            wasiRandom,
	"sched_yield":           wasiNothing,
}

func (i *Instance) wasi32(pointer uint64, v uint32) uint32 {
	if !i.memory.WriteUint32Le(uint32(pointer), v) {
		return wasiFault
	}
	return wasiOk
}

func wasiArgsSizes(i *Instance, p []uint64) uint32 {
	if e := i.wasi32(p[0], 0); e != wasiOk {
		return e
	}
	return i.wasi32(p[1], 0)
}

func wasiEnviron(i *Instance, p []uint64) uint32 {
	at, text := uint32(p[0]), uint32(p[1])
	for _, v := range i.config.Env {
		if !i.memory.WriteUint32Le(at, text) || !i.memory.WriteString(text, v) || !i.memory.WriteByte(text+uint32(len(v)), 0) {
			return wasiFault
		}
		at += 4
		text += uint32(len(v)) + 1
	}
	return wasiOk
}

func wasiEnvironSizes(i *Instance, p []uint64) uint32 {
	size := 0
	for _, v := range i.config.Env {
		size += len(v) + 1
	}
	if e := i.wasi32(p[0], uint32(len(i.config.Env))); e != wasiOk {
		return e
	}
	return i.wasi32(p[1], uint32(size))
}

var started = time.Now()

func wasiClock(i *Instance, p []uint64) uint32 {
	var t int64
	switch uint32(p[0]) {
	case 0: // realtime
		t = time.Now().UnixNano()
	case 1: // monotonic
		t = int64(time.Since(started)) + 1
	default:
		return wasiNotSup
	}
	if !i.memory.WriteUint64Le(uint32(p[2]), uint64(t)) {
		return wasiFault
	}
	return wasiOk
}

func wasiStat(i *Instance, p []uint64) uint32 {
	if fd := uint32(p[0]); fd != 1 && fd != 2 {
		return wasiBadF
	}
	var stat [24]byte
	binary.LittleEndian.PutUint64(stat[8:], 64) // the right to write
	i.memory.Write(uint32(p[1]), stat[:])       // a bad pointer goes unsaid, as in Envoy
	return wasiOk
}

func wasiResolution(i *Instance, p []uint64) uint32 {
	if uint32(p[0]) > 1 {
		return wasiNotSup
	}
	if !i.memory.WriteUint64Le(uint32(p[1]), 1) {
		return wasiFault
	}
	return wasiOk
}

// Bounds on one fd_write: what is kept of it for the log, which cuts it again,
// and in how many pieces it comes.
const (
	maxWrite  = 64 << 10
	maxPieces = 64 << 10
)

// wasiWrite logs what is written to stdout and stderr, a record a write, as
// Envoy does; only that what does not end its line waits for the rest of it:
// runtimes write the trace of a fatal error word by word.
func (i *Instance) wasiWrite(p []uint64, result uint64) uint32 {
	var level abi.Level
	switch uint32(p[0]) {
	case 1:
		level = abi.Info
	case 2:
		level = abi.Error
	default:
		return wasiBadF
	}
	pieces := uint64(uint32(p[2]))
	list, ok := i.memory.Read(uint32(p[1]), uint32(min(8*pieces, 1<<32-1)))
	if !ok {
		return wasiFault
	}
	if pieces > maxPieces {
		return wasiInval
	}
	i.spend(len(list))
	if level != i.unendedLevel {
		i.endLine()
		i.unendedLevel = level
	}
	line, before := i.unended, len(i.unended)
	written := uint32(0)
	for ; len(list) >= 8; list = list[8:] {
		piece, ok := i.memory.Read(binary.LittleEndian.Uint32(list), binary.LittleEndian.Uint32(list[4:]))
		if !ok {
			return wasiFault
		}
		written += uint32(len(piece))
		line = append(line, piece[:min(len(piece), maxWrite-min(len(line), maxWrite))]...)
	}
	i.unended = line
	if n := len(line); n > before && (line[n-1] == '\n' || n >= maxWrite) {
		i.spend(heavyCost)
		i.endLine()
	}
	return i.wasi32(result, written)
}

// endLine logs what was written and did not end its line.
func (i *Instance) endLine() {
	line := i.unended
	if len(line) == 0 {
		return
	}
	i.unended = line[:0]
	if n := len(line); line[n-1] == '\n' {
		line = line[:n-1]
	}
	i.say(i.unendedLevel, unsafe.String(unsafe.SliceData(line), len(line)))
}

// randomCost is what a random byte costs.
const randomCost = 4

// wasiPoll reports no events at once; Go's runtime waits by it.
func wasiPoll(i *Instance, p []uint64) uint32 { return i.wasi32(p[3], 0) }

func wasiRandom(i *Instance, p []uint64) uint32 {
	if uint32(p[1]) > 64<<10 {
		return wasiInval
	}
	b, ok := i.bytes(p[0], p[1])
	if !ok {
		return wasiFault
	}
	i.spend(randomCost * len(b))
	rand.Read(b)
	return wasiOk
}
