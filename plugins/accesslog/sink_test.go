package accesslog

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newTestSinks(t *testing.T) *sinks {
	s := newSinks("proxy", slog.New(slog.DiscardHandler))
	t.Cleanup(s.close)
	return s
}

// eventually waits until f holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func content(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := newTestSinks(t)
	s, err := all.of(config{File: path})
	if err != nil {
		t.Fatal(err)
	}
	if other, err := all.of(config{File: path}); err != nil || other != s {
		t.Fatalf("a file has two sinks: %v", err)
	}
	s.put([]byte("one\n"))
	eventually(t, "the line", func() bool { return content(path) == "before\none\n" })

	// logrotate: the file is renamed, and SIGHUP follows.
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	all.reopen()
	s.put([]byte("two\n"))
	eventually(t, "the new file", func() bool { return content(path) == "two\n" })

	// logrotate without a signal.
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the third file", func() bool { s.put([]byte("three\n")); return strings.HasPrefix(content(path), "three\n") })
	if content(path+".1") != "before\none\n" || !strings.HasPrefix(content(path+".2"), "two\n") {
		t.Errorf("the old files: %q, %q", content(path+".1"), content(path+".2"))
	}

	all.leave(s)
	s.put([]byte("last\n"))
	all.leave(s)
	<-s.ended
	if !strings.HasSuffix(content(path), "three\nlast\n") {
		t.Errorf("what waited was not written: %q", content(path))
	}
}

func TestFileThatCannotBeOpened(t *testing.T) {
	if _, err := newTestSinks(t).of(config{File: filepath.Join(t.TempDir(), "no", "log")}); err == nil {
		t.Error("a file in a folder that is not there is taken")
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	all := newTestSinks(t)
	s, err := all.of(config{TCP: address})
	if err != nil {
		t.Fatal(err)
	}
	s.put([]byte("one\n"))
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(first).ReadString('\n'); line != "one\n" {
		t.Fatalf("%q, %v", line, err)
	}
	// The other side goes away and comes back: nothing is lost but what it had not read.
	l.Close()
	first.Close()
	for i := range 3 {
		s.put([]byte(fmt.Sprintf("while away %d\n", i)))
	}
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	second, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	r := bufio.NewReader(second)
	if line, err := r.ReadString('\n'); !strings.HasPrefix(line, "while away") {
		t.Fatalf("%q, %v", line, err)
	}
	for line := ""; line != "while away 2\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
}

// Nobody takes the lines: a bounded number waits, the others are dropped and
// counted, and nobody who logs waits.
func TestDropped(t *testing.T) {
	all := newTestSinks(t)
	s, err := all.of(config{TCP: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 1023) + "\n")
	const lines = 2 * maxWaiting / 1024
	for range lines {
		s.put(line)
	}
	s.mu.Lock()
	dropped, size := s.dropped, s.size
	s.mu.Unlock()
	if dropped != lines/2 || size > maxWaiting {
		t.Errorf("%d of %d lines dropped, %d bytes wait", dropped, lines, size)
	}
	all.leave(s)
	<-s.ended
	if s.dropped != lines {
		t.Errorf("%d of %d lines that nobody took are counted", s.dropped, lines)
	}
}
