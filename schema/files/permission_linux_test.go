package files_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/meshc/meshc/schema/files"
)

func TestNoPermission(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	write(t, dir+"/a.yaml", "1")
	write(t, dir+"/b.yaml", "2")
	write(t, dir+"/d/c.yaml", "3")
	write(t, dir+"/e/.meshcignore", "4")
	must(t, os.Chmod(dir+"/b.yaml", 0))
	must(t, os.Chmod(dir+"/d", 0))
	must(t, os.Chmod(dir+"/e/.meshcignore", 0))
	t.Cleanup(func() { os.Chmod(dir+"/d", 0o755) })

	var tree files.Tree
	var err error
	asNobody(func() { tree, err = files.NewReader([]string{dir}, nil).Read(t.Context()) })
	must(t, err)
	wantEqual(t, "files", contents(tree), []string{"a.yaml=1"})
	wantEqual(t, "findings", findings(tree, dir), []string{"MC0001 b.yaml", "MC0001 d", "MC0001 e/.meshcignore"})
	for _, d := range tree.Diagnostics {
		if !strings.Contains(d.Message, "permission denied") || d.Hint == "" {
			t.Errorf("finding %+v", d)
		}
	}
}

// asNobody calls do without root's right to read everything.
func asNobody(do func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		// The identity is the thread's. It is never unlocked, so it ends with
		// the goroutine.
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			_ = syscall.Setfsuid(65534)
		}
		do()
	})
	wg.Wait()
}
