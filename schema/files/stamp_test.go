package files

import (
	"os"
	"testing"
	"time"
)

func TestSettled(t *testing.T) {
	second := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	fraction := second.Add(123 * time.Millisecond)
	for _, c := range []struct {
		name    string
		changed time.Time
		later   time.Duration
		want    bool
	}{
		{"at once", fraction, 0, false},
		{"within a few ticks of the kernel's clock", fraction, 50 * time.Millisecond, false},
		{"long after", fraction, 150 * time.Millisecond, true},
		{"whole seconds may mean that there is nothing finer", second, 1500 * time.Millisecond, false},
		{"whole seconds, long after", second, 4 * time.Second, true},
		{"from the future", fraction, -time.Hour, false},
	} {
		s := stamp{ctime: c.changed.UnixNano()}
		if got := s.settled(c.changed.Add(c.later)); got != c.want {
			t.Errorf("%s: settled = %v", c.name, got)
		}
	}
}

// The time of modification can be set back by anyone; the stamp holds one that
// cannot, and counts from it.
func TestStampKnowsTheTimeOfChange(t *testing.T) {
	path := t.TempDir() + "/a.yaml"
	begin := time.Now()
	put(t, path, "1")
	old := begin.Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	file := candidate{place: place{real: path}}
	// Unless it took the machine so long that it may have settled.
	if m := lookAt(file); m.settled && time.Since(begin) < 50*time.Millisecond || m.stamp.mtime == m.stamp.ctime {
		t.Errorf("%+v", m)
	}
	for start := time.Now(); !lookAt(file).settled; {
		if time.Since(start) > time.Minute {
			t.Fatal("does not settle")
		}
	}
}

// What is known of a file or directory is used again only if its stamp is the
// same and had settled when it was taken.
func TestOnlyWhatHasSettledIsKept(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/a.yaml", "1")
	stampAt := func(path string) stamp {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return stampOf(info)
	}
	other := stampAt(dir + "/a.yaml")
	other.ctime--
	for _, c := range []struct {
		name    string
		stamp   stamp
		settled bool
		kept    bool
	}{
		{"same", stampAt(dir + "/a.yaml"), true, true},
		{"not settled", stampAt(dir + "/a.yaml"), false, false},
		{"another stamp", other, true, false},
	} {
		old := &content{stamp: c.stamp, settled: c.settled, data: []byte("old")}
		if got := load(dir+"/a.yaml", old); (got == old) != c.kept || !c.kept && string(got.data) != "1" {
			t.Errorf("file, %s: got %q", c.name, got.data)
		}
	}
	other = stampAt(dir)
	other.ctime--
	for _, c := range []struct {
		name    string
		stamp   stamp
		settled bool
		kept    bool
	}{
		{"same", stampAt(dir), true, true},
		{"not settled", stampAt(dir), false, false},
		{"another stamp", other, true, false},
	} {
		old := &listing{stamp: c.stamp, settled: c.settled}
		if got := list(dir, old); (got == old) != c.kept || !c.kept && len(got.entries) != 1 {
			t.Errorf("directory, %s: got %v", c.name, got.entries)
		}
	}
}
