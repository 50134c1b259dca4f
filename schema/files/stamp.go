package files

import (
	"io/fs"
	"time"
)

// stamp tells one state of a file or directory from another without reading
// it. Times are in nanoseconds since 1970.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64
	mode         fs.FileMode
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime().UnixNano(), mode: info.Mode()}
	s.ctime = s.mtime
	s.identify(info.Sys())
	return s
}

// settled reports whether every change made after the moment at will show in
// the stamp. It will not while the last change is so fresh that the next one
// may get the same time: kernels stamp with a clock that ticks every 1 to 10
// milliseconds, some file systems keep whole (FAT: even) seconds only.
func (s stamp) settled(at time.Time) bool {
	grain := 100 * time.Millisecond
	if s.ctime%int64(time.Second) == 0 {
		grain = 3 * time.Second
	}
	return at.UnixNano()-s.ctime > int64(grain)
}

// sameThing reports whether two stamps are of one file or directory, whatever
// happened to its content.
func (s stamp) sameThing(t stamp) bool { return s.dev == t.dev && s.ino == t.ino }
