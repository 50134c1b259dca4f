package wasm

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// codeInMemory is how many bytes of this process are mapped as code of no file:
// that of compiled modules.
func codeInMemory(t *testing.T) (n uint64) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var permissions, offset, device, inode, path string
		if found, _ := fmt.Sscanf(line, "%x-%x %s %s %s %s %s", &from, &to, &permissions, &offset, &device, &inode, &path); found == 6 && strings.Contains(permissions, "x") {
			n += to - from
		}
	}
	return n
}

// TestCodeIsReleased: a module that no use has any more leaves memory, however
// its instances have ended.
func TestCodeIsReleased(t *testing.T) {
	r := newRig(t, 2)
	once := func(n int) {
		g := &guest{data: fmt.Sprint("module ", n)} // each another one
		g.export("proxy_on_request_headers", 3, true, unreachable)
		f, err := r.maker.New(context.Background(), use(g.wasm()))
		if err != nil {
			t.Fatal(err)
		}
		if n%2 == 0 {
			if got := r.get(0, f); got != "503" {
				t.Errorf("the client got %q", got)
			}
			<-r.heard
		}
		f.Close()
	}
	once(0)
	before := codeInMemory(t)
	for n := range 50 {
		once(n + 1)
	}
	// The last may still be ending.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		r.maker.mu.Lock()
		modules := len(r.maker.modules)
		r.maker.mu.Unlock()
		runtime.GC() // the code goes with the module
		// Each has a page at least.
		if n := codeInMemory(t); modules == 0 && n <= before+10*uint64(os.Getpagesize()) {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%d modules, and %d bytes of code, %d before", modules, n, before)
		}
	}
}
